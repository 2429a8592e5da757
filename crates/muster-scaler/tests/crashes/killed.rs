//! A real process that is killed with SIGKILL, again and again. Its provider and its GitLab are
//! files, so that they outlive it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_options::{Duration as OptionDuration, Secret};
use muster_scaler::{
    Controller, MakeAnswer, Moment, Observe, OwnedRunner, ProviderSetup, RunnerListing, RunnerSpec,
    Runners, RunnersError, Seen, Setup,
};
use muster_scaler_core::config::{GitlabConfig, Mode, PoolConfig, ProviderConfig, RateConfig};
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, ListedServer, Listing, Phase, Provider,
    ProviderError, ServerSpec, label,
};
use muster_scaler_core::{
    Config, Jobs, Ledger, PoolObservation, ProviderId, Reading, RunnerView, ServerName, Time,
    decide,
};
use muster_tasks::Group;
use serde::Serialize;
use serde::de::DeserializeOwned;

const DIRECTORY: &str = "MUSTER_SCALER_TRIAL";

/// A world in a directory.
#[derive(Clone, Debug)]
struct Files(PathBuf);

impl Files {
    fn path(&self, kind: &str, id: &str) -> PathBuf {
        self.0.join(kind).join(id)
    }

    fn put<T: Serialize>(&self, kind: &str, id: &str, value: &T) {
        let path = self.path(kind, id);
        let half = self.0.join(format!("half-{kind}-{id}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&half, serde_json::to_vec(value).unwrap()).unwrap();
        fs::rename(half, path).unwrap();
    }

    fn get<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Option<T> {
        let text = fs::read(self.path(kind, id)).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    fn all<T: DeserializeOwned>(&self, kind: &str) -> Vec<(String, T)> {
        let Ok(entries) = fs::read_dir(self.0.join(kind)) else {
            return Vec::new();
        };
        let id = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let ids = entries.map(|entry| id(entry.unwrap()));
        ids.filter_map(|id| Some((id.clone(), self.get(kind, &id)?)))
            .collect()
    }

    fn servers(&self) -> Vec<ListedServer> {
        self.all("servers")
            .into_iter()
            .map(|(_, server)| server)
            .collect()
    }

    /// Adds a line at once.
    fn note(&self, line: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.create(true).append(true).open(self.0.join("asked"));
        file.unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[async_trait]
impl Provider for Files {
    fn kind(&self) -> &'static str {
        "files"
    }

    async fn list_owned(&self, _: &str) -> Result<Listing, ProviderError> {
        Ok(Listing {
            servers: self.servers(),
            complete: true,
            began: Time::default(),
        })
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        self.note(&spec.name.0);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let id = format!("id-{}-{}", spec.name.0, fastrand::u32(..));
        let server = ListedServer {
            id: id.clone(),
            name: spec.name.0.clone(),
            labels: spec.labels.clone(),
            phase: Phase::Active,
            address: None,
            created: None,
        };
        self.put("servers", &id, &server);
        tokio::time::sleep(Duration::from_millis(2)).await;
        CreateAnswer::Created(id)
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        match self.get::<ListedServer>("servers", id) {
            Some(server) if !server.belongs_to(owner) => {
                DeleteAnswer::Refused("not ours".to_owned())
            }
            Some(_) => {
                fs::remove_file(self.path("servers", id)).unwrap();
                DeleteAnswer::Gone
            }
            None => DeleteAnswer::Gone,
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        match self.get("servers", id) {
            Some(server) => DescribeAnswer::Found(server),
            None => DescribeAnswer::Gone,
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        Ok(Limits::default())
    }
}

#[async_trait]
impl Runners for Files {
    async fn make_runner(&self, spec: &RunnerSpec) -> MakeAnswer {
        let id = u64::from(fastrand::u32(..));
        self.put("runners", &id.to_string(), &spec.name);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let token = Secret::new("glrt-secret");
        MakeAnswer::Made { id, token }
    }

    async fn pause(&self, _: u64) -> Result<(), RunnersError> {
        Ok(())
    }

    async fn unpause(&self, _: u64) -> Result<(), RunnersError> {
        Ok(())
    }

    async fn delete(&self, runner: u64) -> Result<(), RunnersError> {
        let _ = fs::remove_file(self.path("runners", &runner.to_string()));
        Ok(())
    }

    async fn view(&self, runner: u64) -> Result<Option<OwnedRunner>, RunnersError> {
        let name = self.get("runners", &runner.to_string());
        Ok(name.map(|name| OwnedRunner {
            id: runner,
            name,
            paused: false,
        }))
    }

    async fn exists(&self, runner: u64) -> Result<bool, RunnersError> {
        Ok(self.path("runners", &runner.to_string()).exists())
    }

    async fn list_owned(&self, _: &str) -> Result<RunnerListing, RunnersError> {
        let runner = |(id, name): (String, ServerName)| OwnedRunner {
            id: id.parse().unwrap(),
            name,
            paused: false,
        };
        Ok(RunnerListing {
            runners: self.all("runners").into_iter().map(runner).collect(),
            complete: true,
        })
    }
}

/// Always three jobs wait; every server joins but some, which fail.
#[async_trait]
impl Observe for Files {
    async fn observe(&self, moment: Moment, _: &Ledger) -> Seen {
        let now = moment.time;
        let there: BTreeSet<String> = self.servers().into_iter().map(|s| s.name).collect();
        let mut views = BTreeMap::new();
        for (id, name) in self.all::<ServerName>("runners") {
            let joins = there.contains(&name.0) && !name.0.ends_with(['0', '4', '8']);
            let view = RunnerView {
                runner: id.parse().unwrap(),
                joined: Reading::known(joins, now),
                paused: Reading::known(false, now),
                running: Reading::known(u32::from(joins), now),
            };
            views.insert(name, view);
        }
        let running = views
            .values()
            .filter(|v| v.joined.value() == Some(&true))
            .count();
        let jobs = Jobs {
            pending: 3,
            running: u32::try_from(running).unwrap(),
            oldest_wait: Duration::ZERO,
        };
        let pool = PoolObservation {
            hosts: Reading::known(Vec::new(), now),
            jobs: Reading::known(jobs, now),
            pipelines: Reading::unknown("none"),
            wait_p95: Reading::unknown("none"),
        };
        Seen {
            pools: BTreeMap::from([("p".to_owned(), pool)]),
            runners: Reading::known(views, now),
            ended: Vec::new(),
        }
    }
}

fn setup(directory: &Path) -> Setup {
    let mut provider = ProviderConfig::default();
    provider.common.boot_timeout = OptionDuration::from_millis(100);
    let config = Config {
        mode: Mode::On,
        owner: "trial".to_owned(),
        tick: OptionDuration::from_millis(20),
        list_every: OptionDuration::from_millis(20),
        gitlab: Some(GitlabConfig::default()),
        pool: vec![PoolConfig {
            name: "p".to_owned(),
            run_untagged: true,
            max_servers: 60,
            rate: RateConfig {
                create_per_minute: 100_000,
                delete_per_minute: 100_000,
            },
            provider: vec![provider],
            ..PoolConfig::default()
        }],
        ..Config::default()
    };
    let files = Files(directory.join("world"));
    fs::create_dir_all(&files.0).unwrap();
    let id = ProviderId {
        pool: "p".to_owned(),
        at: 0,
    };
    let provider = ProviderSetup {
        provider: Arc::new(files.clone()),
        timeout: Duration::from_secs(20),
    };
    Setup {
        config: Arc::new(config),
        state: directory.join("state"),
        providers: BTreeMap::from([(id, provider)]),
        runners: Some(Arc::new(files.clone())),
        observer: Arc::new(files),
        decide,
    }
}

/// The process that is killed, when the test beside it starts one.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let group = Group::root("child");
        let setup = setup(Path::new(&directory));
        let controller = Controller::start(&group, setup).await.unwrap();
        controller.resume().await.unwrap();
        fs::write(Path::new(&directory).join("alive"), "").unwrap();
        controller.run().await;
    });
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_loses_nothing(group: Group) {
    let directory = tempfile::tempdir().unwrap();
    let files = Files(directory.path().join("world"));
    let foreign = ListedServer {
        id: "foreign".to_owned(),
        name: "trial-p-1".to_owned(),
        labels: BTreeMap::from([(label::OWNER.to_owned(), "trial2".to_owned())]),
        phase: Phase::Active,
        address: None,
        created: None,
    };
    files.put("servers", "foreign", &foreign);
    for _ in 0..12 {
        let _ = fs::remove_file(directory.path().join("alive"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["killed::child", "--exact"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !directory.path().join("alive").exists() {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the child does not start"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Wherever it is then.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..150))).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(!files.asked().is_empty(), "nothing was asked for");
    let controller = Controller::start(&group, setup(directory.path()))
        .await
        .unwrap();
    controller.resume().await.unwrap();
    let begun = Instant::now();
    loop {
        controller.tick().await.unwrap();
        controller.settled().await;
        let ledger = controller.desk().ledger();
        let servers = ledger.servers.values();
        let known: BTreeSet<_> = servers.filter_map(|s| s.provider_id.clone()).collect();
        let ours = files
            .servers()
            .into_iter()
            .filter(|s| s.belongs_to("trial"));
        let unknown: Vec<_> = ours.filter(|s| !known.contains(&s.id)).collect();
        if unknown.is_empty() {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nobody knows {unknown:?}"
        );
    }
    assert_eq!(files.get("servers", "foreign"), Some(foreign));
    let asked = files.asked();
    let names: BTreeSet<_> = asked.iter().collect();
    assert_eq!(
        names.len(),
        asked.len(),
        "one was asked for twice: {asked:?}"
    );
    drop(controller);
    assert!(group.stop().await.is_clean());
}
