use std::os::unix::fs::PermissionsExt;

use muster_scaler_core::{ProviderId, ServerState};
use proptest::prelude::*;

use super::*;

fn server(name: &str, failures: u32) -> Server {
    Server {
        name: ServerName(name.to_owned()),
        pool: "p".to_owned(),
        provider: ProviderId {
            pool: "p".to_owned(),
            at: 0,
        },
        state: ServerState::Planned,
        since: Time::from_secs(1),
        planned: Time::from_secs(1),
        requested: None,
        decision: 1,
        slots: 2,
        price_per_hour: 0.0,
        boot_deadline: Time::from_secs(100),
        expires: Time::from_secs(1000),
        provider_id: None,
        runner: Some(3),
        address: None,
        joined: None,
        idle_since: None,
        down_since: None,
        drain: None,
        absences: 0,
        last_absence: None,
        failures,
        next_try: Time::default(),
        last_error: None,
    }
}

fn kept(servers: &BTreeMap<u8, u32>, hosts: &[u64], decisions: u64) -> Kept {
    let mut kept = Kept {
        at: Time::from_secs(i64::try_from(decisions).unwrap()),
        ..Kept::default()
    };
    let ledger = Arc::make_mut(&mut kept.ledger);
    ledger.decisions = decisions;
    for (number, failed) in servers {
        let server = server(&format!("s{number}"), *failed);
        let join = Join {
            word: failed.to_string(),
            config: "token".to_owned(),
            asked_by: (*failed > 0).then(|| "hash".to_owned()),
        };
        kept.joins.insert(server.name.clone(), join);
        ledger.servers.insert(server.name.clone(), server);
    }
    for runner in hosts {
        let host = PausedHost {
            runner: *runner,
            instance: "h".to_owned(),
            pool: "p".to_owned(),
            since: Time::from_secs(2),
            until: Time::from_secs(9),
        };
        ledger.paused_hosts.insert(*runner, host);
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn what_was_written_last_is_there_after_opening(
        states in prop::collection::vec(
            (prop::collection::btree_map(0u8..6, 0u32..3, 0..6), prop::collection::vec(0u64..4, 0..3)),
            1..5,
        )
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut before = Kept::default();
        {
            let mut opened = Store::open(directory.path()).unwrap();
            for (at, (servers, hosts)) in states.iter().enumerate() {
                let after = kept(servers, hosts, at as u64 + 1);
                opened.store.write(&before, &after).unwrap();
                before = after;
            }
        }
        let opened = Store::open(directory.path()).unwrap();
        prop_assert_eq!(opened.kept, before);
        prop_assert_eq!(opened.lost, None);
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_said_so() {
    for damage in [&b"not a database at all"[..], &[0; 5000]] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.redb");
        fs::write(&path, damage).unwrap();
        let opened = Store::open(directory.path()).unwrap();
        assert_eq!(opened.kept, Kept::default());
        let lost = opened.lost.unwrap();
        assert!(lost.contains("ledger.redb.damaged-1"), "{lost}");
        let aside = directory.path().join("ledger.redb.damaged-1");
        assert_eq!(fs::read(aside).unwrap(), damage);
    }
}

#[test]
fn a_damaged_row_sets_the_file_aside() {
    let directory = tempfile::tempdir().unwrap();
    {
        let opened = Store::open(directory.path()).unwrap();
        let write = opened
            .store
            .database
            .as_ref()
            .unwrap()
            .begin_write()
            .unwrap();
        write
            .open_table(SERVERS)
            .unwrap()
            .insert("s", &b"{"[..])
            .unwrap();
        write.commit().unwrap();
    }
    assert!(Store::open(directory.path()).unwrap().lost.is_some());
}

#[test]
fn a_newer_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    {
        let opened = Store::open(directory.path()).unwrap();
        let write = opened
            .store
            .database
            .as_ref()
            .unwrap()
            .begin_write()
            .unwrap();
        write
            .open_table(META)
            .unwrap()
            .insert("format", FORMAT + 1)
            .unwrap();
        write.commit().unwrap();
    }
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    assert!(!directory.path().join("ledger.redb.damaged-1").exists());
}

#[test]
fn the_file_is_private() {
    let directory = tempfile::tempdir().unwrap();
    Store::open(directory.path()).unwrap();
    let meta = fs::metadata(directory.path().join("ledger.redb")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
}
