//! No token is told to anybody but whom it is for.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use muster_gitlab::double::Fault as GitlabFault;
use muster_metric::Batch;
use muster_net::testing::{FakeHttp, answer};
use muster_net::{ClientBuilder, TlsClientOptions};
use muster_scaler::write_metrics;
use muster_scaler_core::ServerState;
use muster_scaler_providers::testing::{Fault, HetznerWorld, World};
use muster_tasks::Group;
use muster_testkit::free_ports;
use parking_lot::Mutex;

use super::scene::{PATIENCE, Scene, options};

const BEARER: &str = "prom/secret+4711=";
const HOOK: &str = "hook/secret+4712=";
const OWN: &str = "exec/secret+4713=";

/// A provider that notes how it was called and keeps what it was told in a folder apart; with
/// `REFUSES` it refuses, and repeats all that it was told.
const PROGRAM: &str = r#"
IFS= read -r request
for verb; do :; done
printf '%s\n' "$0 $*" >>"$NOTES/arguments"
env >>"$NOTES/environment"
case $verb in
list) cat "$TOLD"/server-* 2>/dev/null; echo '{"complete":true}' ;;
create)
    if [ -n "$REFUSES" ]; then printf '%s\n' "$request" >&2; exit 12; fi
    printf '%s' "$request" >"$TOLD/request"
    name=${request##*\"name\":\"}; name=${name%%\"*}
    labels=${request#*\"labels\":}; labels=${labels%%\}*}\}
    printf '{"id":"%s","name":"%s","labels":%s,"phase":"active"}\n' "$name" "$name" "$labels" >"$TOLD/server-$name"
    printf '{"id":"%s","already":false}\n' "$name"
    ;;
*) printf '%s\n' "$request" >&2; exit 1 ;;
esac
"#;

/// All that was logged by this process, at every level.
fn logs() -> &'static Arc<Mutex<Vec<u8>>> {
    static LOGS: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    LOGS.get_or_init(|| {
        let logs: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Arc::clone(&logs);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || Writer(Arc::clone(&writer)))
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        logs
    })
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of a folder, as they are and unpacked.
fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let mut unpacked = Vec::new();
        let _ = GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked);
        all.push((path.display().to_string(), bytes));
        all.push((format!("{}, unpacked", path.display()), unpacked));
    }
}

/// A text as it is, and as it may be written.
fn forms(secret: &str) -> Vec<String> {
    let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    // In base64 a text looks different after each number of bytes before it; what its first and last
    // digits are depends on its neighbours.
    let shifted = [0, 1, 2].map(|before| {
        let digits = STANDARD.encode([&b"aa"[..before], secret.as_bytes()].concat());
        let digits = digits.trim_end_matches('=');
        digits[4..digits.len() - 2].to_owned()
    });
    let mut forms = vec![secret.to_owned(), encoded];
    forms.extend(shifted);
    forms
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_told(group: Group) {
    logs();
    let state = tempfile::tempdir().unwrap();
    let (notes, told) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let double = super::scene::gitlab(&group, &["", "two", "three"]).await;
    let world = HetznerWorld::new(&group).await;
    // What refuses a question repeats it.
    let metrics = FakeHttp::start(&group, |seen| {
        answer(
            400,
            &format!("{{\"status\":\"error\",\"error\":\"{:?}\"}}", seen.headers).replace('\\', ""),
        )
    })
    .await;
    let waiting = super::scene::prometheus(&group).await;
    let [port] = free_ports();
    let (own, token) = (options(state.path()), double.scaler_token());
    let program = told.path().join("program.sh");
    fs::write(&program, PROGRAM).unwrap();
    let provider = toml::to_string(&world.table()).unwrap();
    let exec = format!(
        "kind = \"exec\"\ncommand = [\"/bin/sh\", \"{}\"]\nsecrets = {{ own = \"{OWN}\" }}",
        program.display()
    );
    let text = |prometheus: &str| {
        format!(
            r#"{own}
            listen = "127.0.0.1:{port}"
            join_url = "http://127.0.0.1:{port}"
            [prometheus]
            url = "{prometheus}"
            bearer_token = "{BEARER}"
            [gitlab]
            url = "{}"
            token = "{token}"
            webhook_token = "{HOOK}"
            poll = "1s"
            projects = ["shop/web"]
            [[pool]]
            name = "one"
            run_untagged = true
            [[pool.provider]]
            {provider}
            [[pool]]
            name = "two"
            match_tags = ["two"]
            [[pool.provider]]
            {exec}
            environment = ["NOTES={notes}", "TOLD={told}"]
            [[pool]]
            name = "three"
            match_tags = ["three"]
            [[pool.provider]]
            {exec}
            environment = ["NOTES={notes}", "TOLD={told}", "REFUSES=yes"]
            "#,
            double.url(),
            notes = notes.path().display(),
            told = told.path().display(),
        )
    };

    // A Prometheus that refuses, a GitLab that fails and one that speaks HTML.
    double.inject("", "", GitlabFault::Status(500), 1);
    double.inject("", "", GitlabFault::WebPage, 1);
    let scene = Scene::set(&text(metrics.url())).await;
    scene.decisions(3).await;
    let mut written = vec![(
        "refused".to_owned(),
        format!("{:?}", scene.status()).into_bytes(),
    )];
    scene.end().await;

    // Providers that refuse with all that they were told, and a server that joins.
    world.fault(Fault::Echo);
    double.inject("POST", "user/runners", GitlabFault::LoseAnswer, 1);
    let scene = Scene::set(&text(waiting.url())).await;
    scene
        .until("all were asked, and one has a server", |status| {
            let mut servers = status.ledger.servers.values();
            let there = servers.any(|s| s.pool == "two" && s.state == ServerState::Booting);
            there && status.counts.creates >= 3
        })
        .await;
    scene.decisions(1).await;
    let request = fs::read_to_string(told.path().join("request")).unwrap();
    let request: serde_json::Value = serde_json::from_str(&request).unwrap();
    let user_data = request["user_data"].as_str().unwrap();
    let word = user_data.split_once("word='").unwrap().1;
    let word = word.split_once('\'').unwrap().0.to_owned();
    let client = ClientBuilder::new(PATIENCE)
        .build(&TlsClientOptions::default())
        .unwrap();
    let join = format!("http://127.0.0.1:{port}/join");
    let answered = client.post(&join).body(word.clone()).send().await.unwrap();
    assert!(answered.status().is_success(), "{word}: {user_data}");
    let config = answered.text().await.unwrap();
    let runner = config.split('"').find(|part| part.starts_with("glrt-"));
    let runner = runner.unwrap().to_owned();
    // One that guesses.
    let guessed = client
        .post(&join)
        .body(format!("{word}x"))
        .send()
        .await
        .unwrap();
    assert!(guessed.status().is_client_error());
    scene.decisions(2).await;

    let status = scene.status();
    let mut batch = Batch::new();
    write_metrics(&status, &mut batch);
    let mut told_of = format!(
        "{status:?}\n{}\n{batch:?}\n",
        serde_json::to_string(&*status).unwrap()
    );
    let decision = status.decision.as_ref().unwrap();
    told_of.push_str(&decision.explained());
    if let Some(controller) = scene.controller() {
        told_of.push_str(&format!("{controller:?} {:?}", controller.config()));
        written.push((
            "configuration".to_owned(),
            serde_json::to_vec(controller.config()).unwrap(),
        ));
    }
    written.push(("status".to_owned(), told_of.into_bytes()));
    scene.end().await;
    files(state.path(), &mut written);
    files(notes.path(), &mut written);
    written.push(("log".to_owned(), logs().lock().clone()));

    let ledger = state.path().join("ledger.redb");
    assert_eq!(
        fs::metadata(&ledger).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut secrets = vec![BEARER.to_owned(), HOOK.to_owned(), OWN.to_owned(), token];
    secrets.extend(world.secrets().into_iter().take(1));
    let all = secrets.iter().map(|secret| (secret, true));
    // Until a server has joined, the ledger keeps what it is given then.
    let all = all.chain([(&word, true), (&runner, false)]);
    for (secret, also_ledger) in all {
        for form in forms(secret) {
            for (name, bytes) in &written {
                let found = bytes
                    .windows(form.len())
                    .any(|part| part == form.as_bytes());
                let exempt = !also_ledger && name.starts_with(&ledger.display().to_string());
                assert!(!found || exempt, "{name} holds {secret} as {form}");
            }
        }
    }
    // What is no secret is found.
    for (name, text) in [
        ("log", "a server has joined"),
        ("status", "prod-1"),
        ("configuration", "prod-1"),
    ] {
        let (_, bytes) = written.iter().find(|(is, _)| is == name).unwrap();
        let found = bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        assert!(found, "{name}");
    }
    assert!(group.stop().await.is_clean());
}
