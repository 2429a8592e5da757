//! Servers of ZooKeeper that end, hang and come back.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use muster_sentinel::testing::Behaviour;
use muster_tasks::Group;
use muster_testkit::{Stalls, ZooKeeper, ZooKeeperEnsemble};
use tokio::net::{TcpSocket, TcpStream};

use crate::fleet::{Fleet, PATIENCE, is_degraded, is_down, is_up};
use crate::reader::Reader;

/// How often each instance is checked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// So long after the servers are back everything must be right.
pub(crate) const BOUND: Duration = Duration::from_secs(2);

/// Addresses where nobody ever answers: one takes connections, the other does not even do that.
struct Nobody {
    _mute: TcpListener,
    _full: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
    addresses: [String; 2],
}

impl Nobody {
    async fn listen() -> Self {
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let full = TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        // The kernel holds so many that nobody accepted; to the next it says nothing.
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            waiting.push(stream);
        }
        Self {
            addresses: [mute.local_addr().unwrap(), address].map(|address| address.to_string()),
            _mute: mute,
            _full: full,
            _waiting: waiting,
        }
    }
}

/// One outage after another.
struct Outages {
    root: Group,
    ensemble: ZooKeeperEnsemble,
    fleet: Fleet,
    /// The first of the servers that behave otherwise now.
    odd: usize,
}

impl Outages {
    fn servers(&self) -> Vec<String> {
        self.ensemble
            .servers
            .iter()
            .map(ZooKeeper::address)
            .collect()
    }

    /// What is checked changes, in both directions: the next two servers fail, those before are healed. Returns when
    /// all is noticed.
    async fn change(&mut self) {
        let (odd, next) = (self.odd, (self.odd + 2) % self.fleet.fakes.len());
        self.odd = next;
        tokio::join!(
            self.fleet.set(odd, Behaviour::Healthy, is_up),
            self.fleet.set(odd + 1, Behaviour::Healthy, is_up),
            self.fleet.set(next, Behaviour::Silent, is_down),
            self.fleet
                .set(next + 1, Behaviour::Says(b"-BUSY script\r\n"), is_degraded),
        );
    }

    /// What was changed meanwhile is in ZooKeeper within the bound, from when a fresh client is served.
    async fn come_back(&self, what: &str) {
        let begun = Instant::now();
        let group = self.root.group("reader");
        let reader = Reader::start(&group, &self.servers(), "outages");
        tokio::time::timeout(PATIENCE, reader.answered())
            .await
            .expect(what);
        let served = begun.elapsed();
        let (back, since) = (Instant::now(), Stalls::now());
        self.fleet.until_right(&reader, what).await;
        let took = back.elapsed();
        println!(
            "{what}: a fresh client is served after {served:?}, and all is right {took:?} later"
        );
        let stood_still = self.fleet.stood_still(since);
        assert!(
            took <= BOUND + stood_still,
            "{what}: right only after {took:?}"
        );
        reader.session.stop().await;
        assert!(group.stop().await.is_clean());
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_verdict_is_lost_and_no_check_waits(root: Group) {
    let ensemble = ZooKeeperEnsemble::start();
    let nobody = Nobody::listen().await;
    let mut servers = nobody.addresses.to_vec();
    servers.extend(ensemble.servers.iter().map(ZooKeeper::address));
    let fleet = Fleet::start(&servers, "outages", INTERVAL, "session_timeout = '6s'").await;
    let mut outages = Outages {
        root,
        ensemble,
        fleet,
        odd: 0,
    };
    outages.change().await;
    outages.come_back("the start").await;

    let leader = outages.ensemble.leader();
    outages.ensemble.servers[leader].kill();
    outages.change().await;
    outages.come_back("the leader is killed").await;
    outages.ensemble.servers[leader].start_again();
    outages.ensemble.wait_until_all_serve();

    outages
        .ensemble
        .servers
        .iter_mut()
        .for_each(ZooKeeper::kill);
    outages.change().await;
    outages
        .ensemble
        .servers
        .iter_mut()
        .for_each(ZooKeeper::start_again);
    outages.come_back("all are killed").await;
    outages.ensemble.wait_until_all_serve();

    outages.ensemble.servers.iter().for_each(ZooKeeper::hold);
    outages.change().await;
    let lost = async {
        let session = outages.fleet.board.faults().session().unwrap();
        let mut state = session.state();
        let is_lost =
            |state: &muster_zookeeper::State| matches!(state, muster_zookeeper::State::Lost { .. });
        state.wait_for(is_lost).await.unwrap();
    };
    tokio::time::timeout(PATIENCE, lost)
        .await
        .expect("the session's time is up");
    // One of them stays away: nobody may wait for it.
    outages.ensemble.servers[1..]
        .iter()
        .for_each(ZooKeeper::go_on);
    outages
        .come_back("all hang for longer than the session, and one goes on to")
        .await;
    outages.ensemble.servers[0].go_on();
    outages.ensemble.wait_until_all_serve();

    let before = outages.fleet.board.faults().session().unwrap();
    let sessions = before.stats().sessions;
    let expired = async {
        while before.stats().sessions == sessions {
            before.expire(&outages.root).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, expired)
        .await
        .expect("the session expires");
    outages.change().await;
    outages.come_back("the session has expired").await;

    let Outages { root, fleet, .. } = outages;
    // None is late by more than an interval.
    fleet.end(INTERVAL * 2).await;
    assert!(root.stop().await.is_clean());
}
