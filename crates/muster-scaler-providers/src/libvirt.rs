//! `libvirt`: domains cloned from a template, through `virsh`.
//!
//! A server is a domain that is defined with its labels in its metadata first, then gets a copy of the
//! template's volume and a NoCloud seed with the user data, and is started. So whenever this is
//! interrupted there is a domain that is listed, and that the scaler deletes when it has not joined in
//! time. A deletion goes the other way round: the definition goes last.

pub(crate) mod domain;
mod seed;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_options::{JsonSchema, OptionError, Options, Parts, Secret};
use muster_process::{Command, Limits as Bounds, RunError};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, ListedServer, Listing, Phase, Provider,
    ProviderError, Refusal, ServerSpec, label,
};
use muster_tasks::Group;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::counting::Counting;
use crate::row::ProviderRow;
use crate::scrub::scrub;
use domain::{Clone, seed_volume, volume};
use seed::Tool;

pub(crate) const ROW: ProviderRow = ProviderRow {
    name: "libvirt",
    summary: "virtual machines of libvirt, cloned from a template through virsh",
    options: LibvirtOptions::describe,
    build,
};

/// The most that virsh may put out, in bytes: room for some thousand domains.
const MOST_OUTPUT: usize = 32 << 20;

/// So many domains are asked for with one command.
const AT_A_TIME: usize = 100;

/// So many commands make up a creation beside the copy of the volume, the wait for its turn to count
/// included: it, two to look, the template's XML, the definition, its UUID, three for the seed and the start.
const OTHER_COMMANDS: u32 = 10;

/// The options of `libvirt`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct LibvirtOptions {
    /// libvirt's URI.
    uri: String,
    /// The program `virsh`.
    virsh: String,
    /// The domain that is cloned, by name. It has one disk to clone and need not ever run.
    template: String,
    /// The storage pool of the volumes.
    pool: String,
    /// The volume of the pool that is copied for each server.
    volume: String,
    /// How long the copy of the volume may take. `boot_timeout` counts from the beginning of the
    /// creation, and needs room for the copy, too.
    clone_timeout: muster_options::Duration,
    /// What makes the seed image: `genisoimage`, `xorriso` or `cloud-localds`; the first that is there
    /// if empty.
    seed_tool: String,
    /// A folder of the libvirt host, which is this one, for seed images. Empty: they are uploaded into
    /// the pool.
    seed_directory: PathBuf,
    /// The bus of the drive with the seed.
    seed_bus: String,
    /// The name of the drive with the seed in the domain; no other drive may have it.
    seed_device: String,
    /// How many servers the owner may have here; 0 for no bound.
    max_servers: u32,
}

impl Default for LibvirtOptions {
    fn default() -> Self {
        Self {
            uri: "qemu:///system".to_owned(),
            virsh: "virsh".to_owned(),
            template: String::new(),
            pool: "default".to_owned(),
            volume: String::new(),
            clone_timeout: muster_options::Duration::from_secs(600),
            seed_tool: String::new(),
            seed_directory: PathBuf::new(),
            seed_bus: "sata".to_owned(),
            seed_device: "sde".to_owned(),
            max_servers: 0,
        }
    }
}

fn build(
    parts: Parts,
    common: &ProviderCommon,
    group: &Group,
) -> Result<Arc<dyn Provider>, Vec<OptionError>> {
    let options: LibvirtOptions = parts.rest()?;
    let mut errors = Vec::new();
    for (name, value) in [
        ("template", &options.template),
        ("pool", &options.pool),
        ("volume", &options.volume),
        ("seed_bus", &options.seed_bus),
        ("seed_device", &options.seed_device),
    ] {
        if value.is_empty() {
            errors.push(OptionError::new(name, "it is needed"));
        } else if value.starts_with('-') || value.contains(char::is_whitespace) {
            errors.push(OptionError::new(
                name,
                "no such name: it may not begin with `-` nor have blanks",
            ));
        }
    }
    if options.clone_timeout.is_zero() {
        errors.push(OptionError::new("clone_timeout", "a copy needs some time"));
    }
    if let Err(error) = Command::new([options.virsh.as_str()]) {
        errors.push(OptionError::new("virsh", error.to_string()));
    }
    if !options.seed_tool.is_empty() && Tool::parse(&options.seed_tool).is_none() {
        errors.push(OptionError::new(
            "seed_tool",
            format!("one of {}", Tool::names()),
        ));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Arc::new(Libvirt {
        options,
        timeout: common.timeout.get(),
        group: group.clone(),
        counting: Counting::new(common.timeout.get()),
    }))
}

#[derive(Debug)]
struct Libvirt {
    options: LibvirtOptions,
    timeout: Duration,
    group: Group,
    counting: Counting,
}

/// Why virsh gave no answer.
#[derive(Debug)]
enum Failed {
    /// It says that it does not work, and why.
    Said(String),
    /// It says nothing, or that the connection broke: nobody knows what was done.
    Lost(String),
}

impl Failed {
    fn why(self) -> String {
        match self {
            Self::Said(why) | Self::Lost(why) => why,
        }
    }
}

impl Libvirt {
    /// Runs one command of virsh.
    async fn virsh(&self, words: &[&str], stdin: &[u8]) -> Result<String, Failed> {
        self.virsh_within(self.timeout, words, stdin).await
    }

    async fn virsh_within(
        &self,
        timeout: Duration,
        words: &[&str],
        stdin: &[u8],
    ) -> Result<String, Failed> {
        let options = &self.options;
        let fixed = [
            options.virsh.as_str(),
            "--quiet",
            "--connect",
            options.uri.as_str(),
        ];
        let words = fixed.into_iter().chain(words.iter().copied());
        self.run(timeout, words, stdin).await
    }

    async fn run<'a>(
        &self,
        timeout: Duration,
        words: impl Iterator<Item = &'a str>,
        stdin: &[u8],
    ) -> Result<String, Failed> {
        let command = Command::new(words).and_then(|command| command.environment(["LC_ALL=C"]));
        let command = command.map_err(|error| Failed::Said(error.to_string()))?;
        let bounds = Bounds {
            timeout,
            stdout: MOST_OUTPUT,
            stderr: 4 << 10,
        };
        let output = match command.run(&self.group, stdin, bounds).await {
            Ok(output) => output,
            Err(RunError::Start { command, source }) => {
                return Err(Failed::Said(format!("start {command}: {source}")));
            }
            Err(error) => return Err(Failed::Lost(error.to_string())),
        };
        if output.exit.is_success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let complaint = output.complaint();
        let broke = [
            "End of file while reading",
            "Cannot recv data",
            "Cannot write data",
            "imed out",
        ];
        let is_clear =
            complaint.contains("error:") && !broke.iter().any(|word| complaint.contains(word));
        match is_clear {
            true => Err(Failed::Said(complaint)),
            false => Err(Failed::Lost(format!("{}: {complaint}", output.exit))),
        }
    }

    /// The UUIDs of all domains.
    async fn all(&self) -> Result<Vec<String>, Failed> {
        let listed = self.virsh(&["list", "--all", "--uuid"], &[]).await?;
        Ok(listed.split_whitespace().map(str::to_owned).collect())
    }

    /// These domains, and whether each was shown whole. Those that have gone meanwhile are left out.
    async fn look(&self, ids: &[String]) -> Result<(Vec<ListedServer>, bool), Failed> {
        let (mut servers, mut whole) = (Vec::new(), true);
        for ids in ids.chunks(AT_A_TIME) {
            let ids: Vec<&String> = ids.iter().filter(|id| domain::is_uuid(id)).collect();
            let questions = ids.iter().map(|id| domain::question(id));
            // The last command decides whether all went well.
            let questions: String = questions.chain(["echo".to_owned()]).collect();
            let text = self.virsh(&[&questions], &[]).await?;
            for (id, answer) in ids.into_iter().zip(domain::answers(&text)) {
                match domain::server(&answer) {
                    Some(server) if server.id == *id => servers.push(server),
                    // Either it went between the two questions, or it could not be shown.
                    _ => whole &= !self.all().await?.contains(id),
                }
            }
        }
        Ok((servers, whole))
    }

    /// All domains.
    async fn list(&self) -> Result<(Vec<ListedServer>, bool), Failed> {
        let ids = self.all().await?;
        self.look(&ids).await
    }

    /// What creates the domain, its disk and its seed, and starts it.
    async fn try_create(&self, spec: &ServerSpec) -> CreateAnswer {
        let name = spec.name.0.as_str();
        let owner = spec.labels.get(label::OWNER).map_or("", String::as_str);
        let invalid = |why: String| CreateAnswer::Refused(Refusal::Invalid, why);
        if !domain::is_name(name) {
            return invalid(format!("{name} is no name of a domain"));
        }
        if let Err(why) = self.seed_tool() {
            return invalid(why);
        }
        match self.define(spec, owner).await {
            Ok(None) => {}
            Ok(Some(there)) => {
                let stopped = there.phase == Phase::Stopped;
                return match self.finish(&there.id, spec, stopped).await {
                    Ok(()) => CreateAnswer::AlreadyThere(there.id),
                    Err(failed) => CreateAnswer::Unknown(failed.why()),
                };
            }
            Err(answer) => return answer,
        }
        let id = match self.virsh(&["domuuid", "--domain", name], &[]).await {
            Ok(id) => id.trim().to_owned(),
            Err(failed) => return CreateAnswer::Unknown(failed.why()),
        };
        match self.finish(&id, spec, true).await {
            Ok(()) => CreateAnswer::Created(id),
            Err(Failed::Lost(why)) => CreateAnswer::Unknown(why),
            // It is clear that it will not run: what was made goes again, so that another provider can be asked.
            Err(Failed::Said(why)) => match self.remove(&id, name).await {
                Ok(()) if why.contains("not found") => invalid(why),
                Ok(()) => CreateAnswer::Refused(Refusal::Capacity, why),
                Err(failed) => CreateAnswer::Unknown(format!("{why}; then: {}", failed.why())),
            },
        }
    }

    /// Defines the domain; gives it if it is there already. `Err` is the answer of a creation that goes no
    /// further.
    async fn define(
        &self,
        spec: &ServerSpec,
        owner: &str,
    ) -> Result<Option<ListedServer>, CreateAnswer> {
        let (name, options) = (spec.name.0.as_str(), &self.options);
        let invalid = |why: String| CreateAnswer::Refused(Refusal::Invalid, why);
        let turn = self.counting.turn(options.max_servers).await;
        let _turn = turn.map_err(|why| CreateAnswer::Refused(Refusal::RateLimit, why))?;
        // A look that fails is a refusal, not a creation of which nobody knows: the scaler asks for a name
        // only once, so that no domain of it can be on its way.
        let later = |failed: Failed| CreateAnswer::Refused(Refusal::RateLimit, failed.why());
        let (all, whole) = self.list().await.map_err(later)?;
        if let Some(there) = all.iter().find(|server| server.name == name) {
            return match there.belongs_to(owner) {
                true => Ok(Some(there.clone())),
                false => Err(invalid(format!(
                    "the name {name} is taken by a domain that does not belong to {owner}"
                ))),
            };
        }
        let count = all.iter().filter(|server| server.belongs_to(owner)).count();
        if options.max_servers > 0 && (count >= options.max_servers as usize || !whole) {
            let why = format!(
                "there are {count} servers, and at most {} are allowed",
                options.max_servers
            );
            return Err(CreateAnswer::Refused(Refusal::Quota, why));
        }
        let words = ["dumpxml", "--inactive", "--domain", &options.template];
        let template = self
            .virsh(&words, &[])
            .await
            .map_err(|failed| match failed {
                Failed::Said(why) => invalid(why),
                lost @ Failed::Lost(_) => later(lost),
            })?;
        let clone = Clone {
            name,
            labels: &spec.labels,
            pool: &options.pool,
            seed_file: self.seed_file(name),
            seed_bus: &options.seed_bus,
            seed_device: &options.seed_device,
        };
        let xml = clone
            .of(&template)
            .map_err(|why| invalid(format!("the template {}: {why}", options.template)))?;
        match self.virsh(&["define", "/dev/stdin"], xml.as_bytes()).await {
            Ok(_) => Ok(None),
            Err(Failed::Said(why)) => Err(invalid(why)),
            Err(Failed::Lost(why)) => Err(CreateAnswer::Unknown(why)),
        }
    }

    /// Makes the disk and the seed of a domain if they are not there, and starts it.
    async fn finish(&self, id: &str, spec: &ServerSpec, start: bool) -> Result<(), Failed> {
        let (name, options) = (spec.name.0.as_str(), &self.options);
        if !start {
            return Ok(());
        }
        let disk = volume(name);
        let words = ["vol-clone", "--pool", &options.pool, &options.volume, &disk];
        let time = options.clone_timeout.get();
        let cloned = self.virsh_within(time, &words, &[]).await;
        let cloned = cloned.map_err(|failed| match failed {
            Failed::Lost(why) => Failed::Lost(format!(
                "copy the volume {} (clone_timeout is {time:?}): {why}",
                options.volume
            )),
            said @ Failed::Said(_) => said,
        });
        unless(cloned, "already exists")?;
        self.make_seed(spec).await?;
        unless(
            self.virsh(&["start", "--domain", id], &[]).await,
            "already active",
        )
    }

    /// Makes the seed image, in its folder or in the pool.
    async fn make_seed(&self, spec: &ServerSpec) -> Result<(), Failed> {
        let (name, pool) = (spec.name.0.as_str(), self.options.pool.as_str());
        let tool = self.seed_tool().map_err(Failed::Said)?;
        let kept = self.seed_file(name);
        let work = seed::Work::new(&self.group, name, &spec.user_data, kept)
            .await
            .map_err(Failed::Said)?;
        let words = tool.words(&work);
        let words = words.iter().map(String::as_str);
        self.run(self.timeout, words, &[]).await?;
        if let Some(image) = work.to_upload() {
            let (seed, size) = (seed_volume(name), image.size.to_string());
            let made = self
                .virsh(
                    &["vol-create-as", pool, &seed, &size, "--format", "raw"],
                    &[],
                )
                .await;
            unless(made, "already exists")?;
            self.virsh(&["vol-upload", "--pool", pool, &seed, &image.path], &[])
                .await?;
        }
        work.remove(&self.group).await;
        Ok(())
    }

    /// Where the seed image is kept, if in a folder.
    fn seed_file(&self, name: &str) -> Option<PathBuf> {
        let folder = &self.options.seed_directory;
        (!folder.as_os_str().is_empty()).then(|| folder.join(seed_volume(name)))
    }

    fn seed_tool(&self) -> Result<Tool, String> {
        Tool::find(&self.options.seed_tool)
    }

    /// Stops a domain of ours, and removes its volumes and then itself.
    async fn remove(&self, id: &str, name: &str) -> Result<(), Failed> {
        let pool = self.options.pool.as_str();
        unless(
            self.virsh(&["destroy", "--domain", id], &[]).await,
            "not running",
        )?;
        for volume in [volume(name), seed_volume(name)] {
            let deleted = self
                .virsh(&["vol-delete", "--pool", pool, &volume], &[])
                .await;
            unless(deleted, "no storage vol")?;
        }
        if let Some(file) = self.seed_file(name) {
            seed::remove_file(&self.group, file)
                .await
                .map_err(Failed::Said)?;
        }
        let words = [
            "undefine",
            "--domain",
            id,
            "--managed-save",
            "--snapshots-metadata",
        ];
        let with_firmware = [words.as_slice(), &["--nvram"]].concat();
        let undefined = match self.virsh(&with_firmware, &[]).await {
            // Not all drivers know of machines with variables in their firmware.
            Err(Failed::Said(why)) if why.contains("unsupported flags") => {
                self.virsh(&words, &[]).await
            }
            undefined => undefined,
        };
        unless(undefined, "failed to get domain")
    }
}

/// All went well, or it failed in a way that is as good.
fn unless(done: Result<String, Failed>, as_good: &str) -> Result<(), Failed> {
    match done {
        Ok(_) => Ok(()),
        Err(Failed::Said(why)) if why.contains(as_good) => Ok(()),
        Err(failed) => Err(failed),
    }
}

#[async_trait]
impl Provider for Libvirt {
    fn kind(&self) -> &'static str {
        ROW.name
    }

    fn creation_time(&self, timeout: Duration) -> Duration {
        let others = timeout.saturating_mul(OTHER_COMMANDS);
        others.saturating_add(self.options.clone_timeout.get())
    }

    async fn list_owned(&self, owner: &str) -> Result<Listing, ProviderError> {
        let began = clock::now();
        let listed = self.list().await;
        let (mut servers, complete) = listed.map_err(|failed| ProviderError(failed.why()))?;
        servers.retain(|server| server.belongs_to(owner));
        Ok(Listing {
            servers,
            complete,
            began,
        })
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let clean = |secret: &Secret, why: &str| scrub(why, [secret]);
        match self.try_create(spec).await {
            CreateAnswer::Refused(refusal, why) => {
                CreateAnswer::Refused(refusal, clean(&spec.user_data, &why))
            }
            CreateAnswer::Unknown(why) => CreateAnswer::Unknown(clean(&spec.user_data, &why)),
            answer => answer,
        }
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        let server = match self.describe(id).await {
            DescribeAnswer::Gone => return DeleteAnswer::Gone,
            DescribeAnswer::Unknown(why) => return DeleteAnswer::Unknown(why),
            DescribeAnswer::Found(server) => server,
        };
        if !server.belongs_to(owner) {
            return DeleteAnswer::Refused(format!("domain {id} does not belong to {owner}"));
        }
        match self.remove(id, &server.name).await {
            Ok(()) => DeleteAnswer::Gone,
            Err(failed) => DeleteAnswer::Unknown(failed.why()),
        }
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        // virsh also takes names and numbers for a domain: only what is listed is asked for.
        match self.all().await {
            Ok(all) if !all.iter().any(|one| one == id) => return DescribeAnswer::Gone,
            Ok(_) => {}
            Err(failed) => return DescribeAnswer::Unknown(failed.why()),
        }
        match self.look(&[id.to_owned()]).await {
            Ok((servers, whole)) => match servers.into_iter().next() {
                Some(server) => DescribeAnswer::Found(server),
                None if whole => DescribeAnswer::Gone,
                None => DescribeAnswer::Unknown("virsh does not show the domain".to_owned()),
            },
            Err(failed) => DescribeAnswer::Unknown(failed.why()),
        }
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        let options = &self.options;
        let failed = |failed: Failed| ProviderError(failed.why());
        self.seed_tool().map_err(ProviderError)?;
        let all = self.all().await.map_err(failed)?;
        self.virsh(&["dominfo", "--domain", &options.template], &[])
            .await
            .map_err(failed)?;
        self.virsh(&["vol-info", "--pool", &options.pool, &options.volume], &[])
            .await
            .map_err(failed)?;
        let node = self.virsh(&["nodeinfo"], &[]).await.map_err(failed)?;
        let line = |key: &str| node.lines().find(|line| line.starts_with(key));
        let notes = [line("CPU(s):"), line("Memory size:")]
            .into_iter()
            .flatten();
        let notes = notes.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(Limits {
            servers: (options.max_servers > 0).then_some(options.max_servers.into()),
            used: u64::try_from(all.len()).ok(),
            notes: notes.collect(),
        })
    }
}
