use std::io::Read;

use flate2::read::GzDecoder;
use muster_scaler_core::config::{Mode, PoolConfig};
use muster_scaler_core::{Reading, decide};

use super::*;

fn config() -> Config {
    Config {
        mode: Mode::On,
        owner: "o".to_owned(),
        pool: vec![PoolConfig {
            name: "p".to_owned(),
            headroom: 0.1 + 0.2,
            ..PoolConfig::default()
        }],
        ..Config::default()
    }
}

fn observation(at: Time) -> Observation {
    Observation {
        at,
        pools: std::collections::BTreeMap::new(),
        listings: std::collections::BTreeMap::new(),
        runners: Reading::unknown("none"),
        ended: Vec::new(),
        lease: Ok(()),
    }
}

/// Decides `count` times at these times and records it; the ledger afterwards.
fn record(recorder: &mut Recorder, ledger: &mut Ledger, times: impl IntoIterator<Item = i64>) {
    for seconds in times {
        let at = Time::from_secs(seconds);
        let observation = observation(at);
        let decision = decide(&config(), &observation, ledger, at);
        let line = recorder.decision(&observation, &decision);
        recorder.write(&[line], ledger, at);
        for event in &decision.events {
            ledger.apply(event).unwrap();
        }
    }
}

fn recorder(state: &Path) -> Recorder {
    Recorder::new(state.join("records"), &config(), Arc::default())
}

fn names(state: &Path) -> Vec<String> {
    let names = files(&state.join("records")).unwrap().into_iter();
    let name = |file: RecordFile| file.path.file_name().unwrap().to_str().unwrap().to_owned();
    names.map(name).collect()
}

const DAY: i64 = 24 * 3600;

#[test]
fn what_is_recorded_is_decided_again_bit_by_bit() {
    let state = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    {
        let mut recorder = recorder(state.path());
        record(&mut recorder, &mut ledger, [10, 20, 30, DAY + 1, DAY + 2]);
    }
    // Another process.
    record(&mut recorder(state.path()), &mut ledger, [DAY + 30]);
    assert_eq!(
        names(state.path()),
        [
            "1970-01-01-0001.jsonl.gz",
            "1970-01-02-0001.jsonl.gz",
            "1970-01-02-0002.jsonl.gz"
        ]
    );
    let records = Records::open(state.path(), Time::from_secs(20)).unwrap();
    let all: Vec<_> = records.map(Result::unwrap).collect();
    let ids: Vec<_> = all.iter().map(|recorded| recorded.decision.id).collect();
    assert_eq!(ids, [2, 3, 4, 5, 6]);
    for recorded in &all {
        let again = recorded.again(decide);
        assert_eq!(again, recorded.decision);
        let text = |d: &Decision| serde_json::to_string(d).unwrap();
        assert_eq!(text(&again), text(&recorded.decision));
    }
    let found = Records::at(state.path(), Time::from_secs(29))
        .unwrap()
        .unwrap();
    assert_eq!(found.decision.id, 2);
    let hash = &found.config_hash;
    assert_eq!(**hash, super::hash(&without_secrets(&config())));
}

#[test]
fn a_torn_file_gives_what_is_whole() {
    let state = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    record(&mut recorder(state.path()), &mut ledger, [1, 2, 3]);
    let path = state.path().join("records/1970-01-01-0001.jsonl.gz");
    let mut text = Vec::new();
    GzDecoder::new(File::open(&path).unwrap())
        .read_to_end(&mut text)
        .unwrap();
    fs::write(path.with_extension(""), &text[..text.len() - 7]).unwrap();
    fs::remove_file(&path).unwrap();
    let mut records = Records::open(state.path(), Time::default()).unwrap();
    let all: Vec<_> = records.by_ref().map(Result::unwrap).collect();
    assert_eq!(all.len(), 2);
    assert_eq!(records.skipped(), 1);
    // The next process packs it and goes on.
    record(&mut recorder(state.path()), &mut ledger, [9]);
    let records = Records::open(state.path(), Time::default()).unwrap();
    assert_eq!(records.map(Result::unwrap).count(), 3);
}

#[test]
fn old_files_go() {
    let state = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let mut recorder = recorder(state.path());
    record(&mut recorder, &mut ledger, [1, DAY, 10 * DAY, 16 * DAY]);
    drop(recorder);
    // `keep_records` is 14 days.
    assert_eq!(
        names(state.path()),
        ["1970-01-11-0001.jsonl.gz", "1970-01-17-0001.jsonl.gz"]
    );
}

#[test]
fn no_secret_is_recorded() {
    let text = "kind = 'exec'\npassword = 'hunter2'\nprice_per_hour = 0.5";
    let mut config = config();
    config.pool[0].provider = vec![toml::from_str(text).unwrap()];
    config.pool[0].runner_config = "token = 'hunter2'".to_owned();
    config.prometheus.password = muster_options::Secret::new("hunter2");
    let state = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(state.path().join("records"), &config, Arc::default());
    recorder.write(&[], &Ledger::default(), Time::default());
    let path = state.path().join("records/1970-01-01-0001.jsonl");
    let text = fs::read_to_string(path).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("0.5"), "{text}");
}

#[test]
fn a_disk_that_takes_nothing_is_counted() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("records"), "a file").unwrap();
    let failures = Arc::new(AtomicU64::new(0));
    let directory = state.path().join("records");
    let mut recorder = Recorder::new(directory, &config(), Arc::clone(&failures));
    recorder.write(&[], &Ledger::default(), Time::default());
    assert_eq!(failures.load(Ordering::Relaxed), 1);
}
