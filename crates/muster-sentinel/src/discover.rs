//! Finding the servers to check, again and again.
//!
//! A look that fails changes nothing: what was found before goes on being checked, also across a
//! change of the component's options.

mod nodes;
mod processes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_options::Globs;
use muster_plugin::PluginError;
use muster_tasks::{Group, timeout};

use crate::probe::{RedisOptions, ask_once};
use crate::redis::read_target;
use crate::status::Target;

/// No more servers than this are taken from one look.
pub(crate) const MOST_FOUND: usize = 100_000;

/// The most bytes that are read of one file.
const MOST_FILE: u64 = 4 << 20;

/// How long a server whose process has gone is checked on while it does not answer.
const KEEP_DEAD: Duration = Duration::from_secs(3600);

/// How long one look, or one question of it, may take.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// What was found: servers, each with the cluster that its source names.
pub(crate) type Found = BTreeMap<Target, Option<String>>;

/// Where servers are found.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The nodes of the cluster to which the configured servers belong.
    Cluster,
    /// What the configured servers, which are Sentinels, watch.
    Sentinel,
    /// The Redis servers that listen on this host.
    Processes,
    /// Files of a folder whose names match, with one server a line.
    Files { folder: PathBuf, names: Globs },
}

impl Source {
    /// Reads the option.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        match text {
            "cluster" => Ok(Self::Cluster),
            "sentinel" => Ok(Self::Sentinel),
            "processes" => Ok(Self::Processes),
            pattern => {
                let (folder, name) = pattern.rsplit_once('/').ok_or_else(|| {
                    format!("\"{pattern}\" is no source: write cluster, sentinel, processes, or a path of files")
                })?;
                if folder.contains(['*', '?', '[', '{']) {
                    return Err(
                        "only the name of a file may be a pattern, not its folder".to_owned()
                    );
                }
                let names = Globs::new(&[name], &['/']).map_err(|error| error.to_string())?;
                let folder = if folder.is_empty() { "/" } else { folder };
                Ok(Self::Files {
                    folder: folder.into(),
                    names,
                })
            }
        }
    }

    /// Whether the configured servers are those to ask, and not themselves checked.
    pub(crate) fn asks(&self) -> bool {
        matches!(self, Self::Cluster | Self::Sentinel)
    }

    /// How long a server stays that it finds no more and that does not answer: one that has died has
    /// no process, and is told of nevertheless.
    pub(crate) fn keeps(&self) -> Duration {
        match self {
            Self::Processes => KEEP_DEAD,
            Self::Cluster | Self::Sentinel | Self::Files { .. } => Duration::ZERO,
        }
    }

    /// Looks once. `servers` are asked in their order until one answers.
    ///
    /// # Cancel safety
    /// Cancel safe: connections are closed; a thread that reads files ends by itself.
    pub(crate) async fn look(
        &self,
        group: &Group,
        servers: &[Target],
        options: &Arc<RedisOptions>,
    ) -> Result<Found, PluginError> {
        let failed = || PluginError::new("find the servers to check");
        let found = match self {
            Self::Cluster => {
                let question = [vec!["CLUSTER".to_owned(), "NODES".to_owned()]];
                let first = ask_any(servers, &question, options).await?;
                let (answers, from) = first;
                nodes::read_cluster(answers.first().map_or("", String::as_str), &from)
            }
            Self::Sentinel => sentinel(servers, options).await?,
            Self::Processes | Self::Files { .. } => {
                let source = self.clone();
                let work = move |_| match source {
                    Self::Files { folder, names } => read_files(&folder, &names),
                    _ => processes::look(Path::new("/proc")),
                };
                let handle = group.spawn_blocking("look for servers", work);
                let handle = handle.map_err(|why| failed().because(why))?;
                let looked = timeout(LOOK_TIME, handle.join()).await;
                let looked = looked.map_err(|why| failed().because(why))?;
                let looked = looked.into_result().map_err(|why| failed().because(why))?;
                looked.map_err(|error| failed().because(error))?
            }
        };
        if found.len() > MOST_FOUND {
            let why = format!("{} servers; {MOST_FOUND} are the most", found.len());
            return Err(failed().because(why));
        }
        Ok(found)
    }
}

/// Asks the servers in turn until one answers; its answers, and which it was.
async fn ask_any(
    servers: &[Target],
    questions: &[Vec<String>],
    options: &Arc<RedisOptions>,
) -> Result<(Vec<String>, Target), PluginError> {
    let mut last = "there is no server to ask".to_owned();
    for server in servers {
        match timeout(LOOK_TIME, ask_once(server, questions, options)).await {
            Ok(Ok(answers)) => return Ok((answers, server.clone())),
            Ok(Err(outcome)) => {
                let detail = outcome.detail.as_deref().unwrap_or_default();
                last = format!("{server}: {} {detail}", outcome.reason);
            }
            Err(_) => last = format!("{server}: no answer in time"),
        }
    }
    Err(PluginError::new("find the servers to check").because(last))
}

async fn sentinel(servers: &[Target], options: &Arc<RedisOptions>) -> Result<Found, PluginError> {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let masters = [words(&["SENTINEL", "MASTERS"])];
    let (answers, from) = ask_any(servers, &masters, options).await?;
    let mut found = Found::new();
    let masters = nodes::read_sentinel(answers.first().map_or("", String::as_str));
    let questions: Vec<_> = masters
        .iter()
        .map(|master| words(&["SENTINEL", "REPLICAS", &master.name]))
        .collect();
    for master in &masters {
        found.insert(master.target.clone(), Some(master.name.clone()));
    }
    if !questions.is_empty() {
        let (answers, _) = ask_any(&[from], &questions, options).await?;
        for (master, answer) in masters.iter().zip(&answers) {
            for replica in nodes::read_sentinel(answer) {
                found.insert(replica.target, Some(master.name.clone()));
            }
        }
    }
    Ok(found)
}

/// Reads one server a line; `#` begins a comment.
fn read_files(folder: &Path, names: &Globs) -> std::io::Result<Found> {
    use std::io::Read;
    let mut found = Found::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry
            .file_name()
            .to_str()
            .is_some_and(|name| names.matches(name))
        {
            continue;
        }
        let mut text = String::new();
        std::fs::File::open(entry.path())?
            .take(MOST_FILE)
            .read_to_string(&mut text)?;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let target = read_target(line).map_err(|why| {
                let place = format!("{}:{}: {why}", entry.path().display(), number + 1);
                std::io::Error::new(std::io::ErrorKind::InvalidData, place)
            })?;
            found.insert(target, None);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sources() {
        for text in [
            "cluster",
            "sentinel",
            "processes",
            "/etc/redis/*.targets",
            "./one",
        ] {
            assert!(Source::read(text).is_ok(), "{text}");
        }
        for text in ["clusters", "", "/etc/*/x"] {
            assert!(Source::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_files_of_servers() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.list", "# ours\n10.0.0.1:7000\n\n10.0.0.2 # the other\n");
        write("b.list", "unix:///run/redis.sock\n10.0.0.1:7000\n");
        write("c.other", "10.0.0.9\n");
        let names = Globs::new(&["*.list"], &['/']).unwrap();
        let found = read_files(folder.path(), &names).unwrap();
        let found: Vec<String> = found.keys().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1:7000", "10.0.0.2:6379", "/run/redis.sock"]);
        write("b.list", "10.0.0.3\nhost:port\n");
        let error = read_files(folder.path(), &names).unwrap_err().to_string();
        assert!(error.contains("b.list:2:"), "{error}");
        assert!(read_files(&folder.path().join("none"), &names).is_err());
    }
}
