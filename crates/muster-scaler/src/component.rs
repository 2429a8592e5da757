//! The scaler as a component of the agent.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_net::http_server::{Limits, serve};
use muster_net::{Address, Listening, SocketOptions, listen};
use muster_options::{OptionError, Options};
use muster_plugin::{BuildContext, Built, PluginError, ServiceContext, ServiceInput, StartContext};
use muster_scaler_core::config::Mode;
use muster_scaler_core::{Config, Drain, Event, Happening, ProviderId, ServerName, decide};
use muster_tasks::Group;
use parking_lot::Mutex;

use crate::controller::{Controller, Setup};
use crate::http::Web;
use crate::listings::ProviderSetup;
use crate::observe::Observer;
use crate::records::{ReadError, Records};
use crate::runners::Runners;
use crate::status::Status;

/// So often a scaler looks whether it has the lease, and without it tries to take it.
const LEASE_AGAIN: Duration = Duration::from_secs(15);
/// What is taken back when the scaler stops may take so long.
const RELAX: Duration = Duration::from_millis(800);
/// At most so many clients at a time.
const CONNECTIONS: usize = 256;

/// The scalers of the agent, for whoever shows or tells them something: the agent's
/// [`Resources::shared`](muster_plugin::Resources::shared).
#[derive(Debug, Default)]
pub struct Scalers {
    live: Mutex<BTreeMap<String, Arc<Controller>>>,
}

impl Scalers {
    /// Those that run, by the component's ID.
    pub fn all(&self) -> Vec<(String, Arc<Controller>)> {
        let live = self.live.lock();
        let both =
            |(id, controller): (&String, &Arc<Controller>)| (id.clone(), Arc::clone(controller));
        live.iter().map(both).collect()
    }

    fn set(&self, id: &str, controller: &Arc<Controller>) {
        let controller = Arc::clone(controller);
        self.live.lock().insert(id.to_owned(), controller);
    }

    /// Forgets a controller, unless a later generation is there already.
    fn remove(&self, id: &str, controller: &Arc<Controller>) {
        let mut live = self.live.lock();
        if live
            .get(id)
            .is_some_and(|there| Arc::ptr_eq(there, controller))
        {
            live.remove(id);
        }
    }
}

/// Failed to do what an operator asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OrderError(String);

impl Controller {
    /// Drains a server: it takes no new jobs, and goes when it has none. It does not come back by
    /// itself.
    ///
    /// # Errors
    /// If there is no such server, it cannot be drained now, or this scaler may not act.
    pub async fn drain(&self, name: &ServerName) -> Result<(), OrderError> {
        let pool = self
            .desk()
            .ledger()
            .servers
            .get(name)
            .map(|s| s.pool.clone());
        let pool = self
            .config()
            .pool
            .iter()
            .find(|p| Some(&p.name) == pool.as_ref());
        let drain = pool.map_or(Duration::from_secs(4 * 3600), |p| p.drain_deadline.get());
        let deadline = self.clock().now() + drain;
        let (why, hold) = ("an operator wants it so", self.config().long_polling.get());
        let what = Happening::Draining(Drain::new(deadline, why, false, hold));
        self.order(name, what).await
    }

    /// Takes a drain back.
    ///
    /// # Errors
    /// If there is no such server, it is not draining, or this scaler may not act.
    pub async fn undrain(&self, name: &ServerName) -> Result<(), OrderError> {
        self.order(name, Happening::Undrained).await
    }

    async fn order(&self, name: &ServerName, what: Happening) -> Result<(), OrderError> {
        self.holds_lease().map_err(OrderError)?;
        if self.config().mode != Mode::On {
            let why = "the scaler's mode is not \"on\"";
            return Err(OrderError(why.to_owned()));
        }
        let event = Event::server(name, self.clock().now(), what);
        let ordered = self.desk().events(vec![event]).await;
        ordered.map_err(|error| OrderError(error.to_string()))?;
        self.waker().notify_one();
        Ok(())
    }

    /// What was recorded since a time, in order.
    ///
    /// # Errors
    /// If it cannot be read. It blocks on the disk.
    pub fn records(&self, from: muster_scaler_core::Time) -> Result<Records, ReadError> {
        Records::open(self.state(), from)
    }
}

/// The component.
pub struct Scaler {
    config: Arc<Config>,
    observer: Arc<Observer>,
    started: Option<Started>,
    lease_again: Duration,
}

struct Started {
    id: String,
    /// Where the ledger is.
    state: PathBuf,
    scalers: Arc<Scalers>,
    listening: Option<Arc<Listening>>,
    providers: BTreeMap<ProviderId, ProviderSetup>,
    /// What providers start runs in here.
    _group: Group,
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scaler")
            .field("owner", &self.config.owner)
            .finish_non_exhaustive()
    }
}

impl Scaler {
    /// Checks the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(cx: &BuildContext) -> Built<Self> {
        Self::new(Config::parse(cx.options())?)
    }

    /// A scaler with this configuration.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn new(config: Config) -> Built<Self> {
        let mut errors = config.problems();
        // Nothing runs in there: what is made is dropped again.
        if let Err(wrong) = providers(&config, &Group::root("check")) {
            errors.extend(wrong);
        }
        if !config.listen.is_empty()
            && let Err(error) = Address::parse(&format!("tcp://{}", config.listen))
        {
            errors.push(OptionError::new("listen", error.to_string()));
        }
        if !config.join_url.is_empty() && config.listen.is_empty() {
            let error = OptionError::new("join_url", "nobody listens there");
            errors.push(error.with_hint("set `listen`"));
        }
        let observer = Observer::new(&config)
            .map_err(|error| errors.push(OptionError::new("", format!("failed to {error}"))))
            .ok();
        match observer {
            Some(observer) if errors.is_empty() => Ok(Self {
                config: Arc::new(config),
                observer: Arc::new(observer),
                started: None,
                lease_again: LEASE_AGAIN,
            }),
            _ => Err(errors),
        }
    }
}

impl Scaler {
    /// Where the ledger is: as configured, else a folder of the agent's state directory.
    fn directory(&self, cx: &StartContext) -> Result<PathBuf, PluginError> {
        let configured = &self.config.state;
        if !configured.as_os_str().is_empty() {
            return Ok(configured.clone());
        }
        let id = &*cx.id().id;
        let own = cx
            .resources()
            .directory()
            .map(|all| all.join("scaler").join(id));
        let why = "the agent keeps no files here; set `state`";
        own.ok_or_else(|| PluginError::new("find a directory for the ledger").because(why))
    }
}

/// The providers of all pools of a configuration.
///
/// # Errors
/// All that is wrong with their tables.
pub fn providers(
    config: &Config,
    group: &Group,
) -> Result<BTreeMap<ProviderId, ProviderSetup>, Vec<OptionError>> {
    let (mut providers, mut errors) = (BTreeMap::new(), Vec::new());
    for (number, pool) in config.pool.iter().enumerate() {
        for (at, provider) in pool.provider.iter().enumerate() {
            match muster_scaler_providers::build(&provider.table, group) {
                Ok(built) => {
                    let id = ProviderId {
                        pool: pool.name.clone(),
                        at,
                    };
                    let setup = ProviderSetup {
                        provider: built.provider,
                        timeout: built.common.timeout.get(),
                    };
                    providers.insert(id, setup);
                }
                Err(wrong) => errors.extend(wrong.into_iter().map(|mut error| {
                    error.path = format!("pool[{number}].provider[{at}].{}", error.path);
                    error
                })),
            }
        }
    }
    if errors.is_empty() {
        Ok(providers)
    } else {
        Err(errors)
    }
}

#[async_trait]
impl ServiceInput for Scaler {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let group = cx.group().group("providers");
        let providers = providers(&self.config, &group).map_err(|errors| {
            let text: Vec<String> = errors
                .iter()
                .map(|e| format!("{}: {}", e.path, e.message))
                .collect();
            PluginError::new("make the providers").because(text.join("; "))
        })?;
        let mut listening = None;
        if !self.config.listen.is_empty() {
            let address = Address::parse(&format!("tcp://{}", self.config.listen));
            let address = address.map_err(|error| PluginError::new("listen").because(error))?;
            let socket = listen(cx, &address, None, SocketOptions::default()).await?;
            listening = Some(Arc::new(socket));
        }
        self.started = Some(Started {
            id: cx.id().id.to_string(),
            state: self.directory(cx)?,
            scalers: cx.resources().shared(),
            listening,
            providers,
            _group: group,
        });
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let started = self.started.as_ref();
        let started =
            started.ok_or_else(|| PluginError::new("run a scaler that was not started"))?;
        if self.config.mode == Mode::Off {
            cx.cancelled().await;
            return Ok(());
        }
        let word = self.config.gitlab.as_ref();
        let word = word
            .map(|gitlab| gitlab.webhook_token.clone())
            .unwrap_or_default();
        let owner = self.config.owner.clone();
        let web = Arc::new(Web::new(Arc::clone(&self.observer), word, owner));
        if let Some(listening) = &started.listening {
            let (listening, web) = (Arc::clone(listening), Arc::clone(&web));
            let limits = Limits {
                connections: CONNECTIONS,
                ..Limits::default()
            };
            let work = move |cx: muster_tasks::Ctx| async move {
                let answer = move |request| {
                    let web = Arc::clone(&web);
                    async move { web.answer(request).await }
                };
                serve(&cx, &listening, limits, answer).await;
            };
            let served = cx.group().go_cx("http", work);
            served.map_err(|why| PluginError::new("serve").because(why))?;
        }
        loop {
            if self.live(cx, started, &web).await? == Ended::Cancelled {
                return Ok(());
            }
        }
    }
}

/// Why a controller ended.
#[derive(PartialEq, Eq)]
enum Ended {
    Cancelled,
    /// It had no lease, or has lost it: a new one may take it.
    Again,
}

impl Scaler {
    /// One controller, until it must end.
    async fn live(
        &self,
        cx: &ServiceContext,
        started: &Started,
        web: &Web,
    ) -> Result<Ended, PluginError> {
        let runners = self.observer.runners();
        let runners = runners.map(|runners| Arc::clone(runners) as Arc<dyn Runners>);
        let setup = Setup {
            config: Arc::clone(&self.config),
            state: started.state.clone(),
            providers: started.providers.clone(),
            runners,
            observer: Arc::<Observer>::clone(&self.observer),
            decide,
        };
        let group = cx.group().group("controller");
        let failed = |error: &dyn std::fmt::Display| {
            PluginError::new("start the scaler").because(error.to_string())
        };
        let controller = Controller::start(&group, setup).await;
        let controller = Arc::new(controller.map_err(|error| failed(&error))?);
        controller.resume().await.map_err(|error| failed(&error))?;
        if let Err(why) = controller.holds_lease() {
            cx.report(PluginError::new("take the lease").because(why));
        }
        let leads = controller.holds_lease().is_ok();
        web.serve(leads.then(|| Arc::clone(&controller)));
        started.scalers.set(&started.id, &controller);
        let shown = Shown {
            started,
            web,
            controller: &controller,
        };
        let again = async {
            loop {
                tokio::time::sleep(self.lease_again).await;
                if controller.holds_lease().is_err() {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            () = cx.cancelled() => Ended::Cancelled,
            () = controller.run() => Ended::Cancelled,
            () = tell(cx, &controller) => Ended::Cancelled,
            () = again => Ended::Again,
        };
        if ended == Ended::Cancelled {
            controller.relax(RELAX).await;
        }
        drop(shown);
        drop(controller);
        let _ = group.stop().await;
        Ok(ended)
    }
}

/// A controller that others see; however its run ends, they do no more then, and what it holds is
/// free.
struct Shown<'a> {
    started: &'a Started,
    web: &'a Web,
    controller: &'a Arc<Controller>,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.web.serve(None);
        let Started { scalers, id, .. } = self.started;
        scalers.remove(id, self.controller);
    }
}

/// Emits the metrics after every decision.
async fn tell(cx: &ServiceContext, controller: &Controller) {
    let mut status = controller.status();
    while status.changed().await.is_ok() {
        let mut batch = Batch::new();
        {
            let status: Arc<Status> = Arc::clone(&status.borrow_and_update());
            crate::metrics::write(&status, &mut batch);
        }
        cx.emit(batch).await;
    }
    std::future::pending::<()>().await;
}
