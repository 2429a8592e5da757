//! The same on the doubles of the providers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use muster_scaler::testing::{Ground, Trial, TrialOptions};
use muster_scaler_core::config::Mode;
use muster_scaler_core::provider::{ListedServer, Provider};
use muster_scaler_providers::testing::{
    DockerWorld, ExecWorld, Fault, HetznerWorld, NovaWorld, World,
};
use muster_tasks::Group;

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

struct On<W>(W);

#[async_trait]
impl<W: World + 'static> Ground for On<W> {
    fn provider(self: Arc<Self>) -> Arc<dyn Provider> {
        self.0.provider()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        self.0.servers().await
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        self.0.plant(name, labels).await
    }

    fn disturb(&self, rng: &mut fastrand::Rng) {
        if rng.u32(0..4) == 0 {
            self.0.fault(FAULTS[rng.usize(0..FAULTS.len())]);
        }
    }

    // What is to come still comes.
    fn calm(&self) {}
}

/// Plays lives on a world; `LIVES` says how many. A call of the doubles takes its time, most of all
/// on a loaded machine: deadlines are for what never answers.
async fn play<W: World + 'static>(group: &Group, world: W) {
    let world = Arc::new(On(world));
    let lives: u64 = std::env::var("LIVES").map_or(1, |n| n.parse().unwrap());
    let (mut crashes, mut asked, mut bad) = (0, 0, Vec::new());
    for seed in 0..lives {
        let state = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicI64::new(1_790_000_000_000));
        let options = TrialOptions {
            seed,
            crashes: 25,
            timeout: Duration::from_secs(20),
            state: state.path().to_owned(),
            mode: Mode::On,
        };
        let ground: Arc<dyn Ground> = Arc::<On<W>>::clone(&world);
        let outcome = Trial::new(ground, now, options).play(group).await;
        crashes += outcome.crashes;
        asked += outcome.asked;
        let of = |violation| format!("seed {seed}: {violation}");
        bad.extend(outcome.violations.into_iter().map(of));
    }
    println!("{crashes} crashes, {asked} servers asked for");
    assert_eq!(bad, Vec::<String>::new(), "{} violations", bad.len());
    assert!(asked > 0);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker(group: Group) {
    play(&group, DockerWorld::new(&group)).await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec(group: Group) {
    play(&group, ExecWorld::new(&group)).await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn hetzner(group: Group) {
    play(&group, HetznerWorld::new(&group).await).await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn openstack(group: Group) {
    play(&group, NovaWorld::new(&group).await).await;
    assert!(group.stop().await.is_clean());
}
