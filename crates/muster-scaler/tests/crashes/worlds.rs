//! The same on the doubles of the providers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use muster_scaler::testing::{Ground, Trial, TrialOptions};
use muster_scaler_core::config::Mode;
use muster_scaler_core::provider::{ListedServer, Provider};
use muster_scaler_providers::testing::{
    DockerWorld, Ec2World, ExecWorld, Fault, HetznerWorld, LibvirtWorld, NovaWorld, World,
};
use muster_tasks::Group;
use parking_lot::Mutex;

/// Faults that end by themselves. (One that never answers is among the model's.)
const FAULTS: [Fault; 9] = [
    Fault::LoseAnswer,
    Fault::LoseRequest,
    Fault::Partial,
    Fault::Quota,
    Fault::NoCapacity,
    Fault::RateLimit,
    Fault::BuildFails,
    Fault::ShownLate,
    Fault::Expire,
];

/// Every so many lives have a provider that was made anew, as after a restart. The others have that
/// of the life before: making one reads the machine's certificates, which takes longer than a life.
const LIVES_OF_A_PROVIDER: u32 = 16;

struct On<W> {
    world: W,
    provider: Mutex<(u32, Arc<dyn Provider>)>,
}

#[async_trait]
impl<W: World + 'static> Ground for On<W> {
    fn provider(self: Arc<Self>) -> Arc<dyn Provider> {
        let mut provider = self.provider.lock();
        let (lives, current) = &mut *provider;
        *lives += 1;
        if lives.is_multiple_of(LIVES_OF_A_PROVIDER) {
            *current = self.world.provider();
        }
        Arc::clone(current)
    }

    async fn servers(&self) -> Vec<ListedServer> {
        self.world.servers().await
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        self.world.plant(name, labels).await
    }

    fn disturb(&self, rng: &mut fastrand::Rng) {
        if rng.u32(0..4) == 0 {
            self.world.fault(FAULTS[rng.usize(0..FAULTS.len())]);
        }
    }

    fn calm(&self) {
        self.world.calm();
    }
}

/// The lives of the scaler before each double. All of them together take minutes: `scripts/test full` plays 40.
const LIVES: u64 = 10;

/// Each call of libvirt is a process or several: one life takes as long as this many on the other doubles.
const AS_LONG_AS: u64 = 10;

/// Plays lives, each in a world of its own. A call of the doubles takes its time, most of all on a
/// loaded machine: deadlines are for what never answers.
async fn play<W: World + 'static>(
    group: &Group,
    seeds: Range<u64>,
    world: impl AsyncFn(&Group) -> W,
) {
    let (mut crashes, mut asked, mut bad) = (0, 0, Vec::new());
    for seed in seeds.clone() {
        let life = group.group("world");
        let state = super::state();
        let now = Arc::new(AtomicI64::new(1_790_000_000_000));
        let options = TrialOptions {
            seed,
            crashes: super::CRASHES,
            timeout: Duration::from_secs(20),
            state: state.path().to_owned(),
            mode: Mode::On,
        };
        let world = world(&life).await;
        let provider = Mutex::new((0, world.provider()));
        let ground = Arc::new(On { world, provider });
        let outcome = Trial::new(ground, now, options).play(&life).await;
        assert!(life.stop().await.is_clean());
        crashes += outcome.crashes;
        asked += outcome.asked;
        let of = |violation| format!("seed {seed}: {violation}");
        bad.extend(outcome.violations.into_iter().map(of));
    }
    println!("{crashes} crashes, {asked} servers asked for");
    assert_eq!(bad, Vec::<String>::new(), "{} violations", bad.len());
    assert_eq!(crashes, super::crashes_of(seeds));
    assert!(asked > 0);
}

#[muster_tasks::test]
async fn docker(group: Group) {
    play(&group, super::seeds(LIVES), async |group: &Group| {
        DockerWorld::new(group)
    })
    .await;
}

#[muster_tasks::test]
async fn ec2(group: Group) {
    play(&group, super::seeds(LIVES), Ec2World::new).await;
}

#[muster_tasks::test]
async fn exec(group: Group) {
    play(&group, super::seeds(LIVES), async |group: &Group| {
        ExecWorld::new(group)
    })
    .await;
}

#[muster_tasks::test]
async fn hetzner(group: Group) {
    play(&group, super::seeds(LIVES), HetznerWorld::new).await;
}

#[muster_tasks::test]
async fn libvirt(group: Group) {
    let mut seeds = super::seeds(LIVES);
    seeds.end = seeds.start + (seeds.end - seeds.start).div_ceil(AS_LONG_AS);
    play(&group, seeds, async |group: &Group| {
        LibvirtWorld::new(group)
    })
    .await;
}

#[muster_tasks::test]
async fn openstack(group: Group) {
    play(&group, super::seeds(LIVES), NovaWorld::new).await;
}
