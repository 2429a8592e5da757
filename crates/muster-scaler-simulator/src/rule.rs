//! The policies with their settings, as data.

use serde::{Deserialize, Serialize};

use crate::policy::{
    ClusterAutoscaler, DockerMachine, Fixed, Horizontal, Muster, MusterSettings, Policy,
    Preemptive, Sight, Taskscaler, WhenBlind,
};
use crate::world::World;

/// A policy with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Always so many servers.
    Fixed(u32),
    /// GitLab's `docker+machine`: idle machines, idle time in seconds.
    DockerMachine(u32, u32),
    /// GitLab's taskscaler: idle time in seconds.
    Taskscaler(u32),
    /// The same with idle slots, idle time and scale factor, not preemptive.
    TaskscalerIdle(u32, u32, f64),
    /// The same, preemptive.
    TaskscalerPreemptive(u32, u32, f64),
    /// Horizontal Pod Autoscaler: share in use, window in seconds.
    Hpa(f64, u32),
    /// KEDA: share in use, window in seconds.
    Keda(f64, u32),
    /// Cluster autoscaler: seconds until a server is unneeded.
    ClusterAutoscaler(u32),
    /// Muster's own.
    Muster(MusterSettings),
}

impl Rule {
    /// The family: rules that differ only in settings.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Muster(settings) => match settings.sight {
                Sight::Ahead => "Muster",
                Sight::Gitlab => "Muster without look-ahead",
                Sight::Metrics => "Muster, metrics only",
            },
            Self::Fixed(_) => "fixed fleet",
            Self::DockerMachine(..) => "docker-machine",
            Self::Taskscaler(_) | Self::TaskscalerIdle(..) | Self::TaskscalerPreemptive(..) => {
                "taskscaler"
            }
            Self::Hpa(..) => "HPA",
            Self::Keda(..) => "KEDA",
            Self::ClusterAutoscaler(_) => "cluster-autoscaler",
        }
    }

    /// The settings, in few words.
    pub fn setting(&self) -> String {
        match self {
            Self::Fixed(servers) => format!("{servers} servers"),
            Self::DockerMachine(count, time) => format!("idle {count}, {time} s"),
            Self::Taskscaler(time) => format!("idle 0, {time} s"),
            Self::TaskscalerIdle(count, time, factor) => {
                format!("idle {count}, {time} s, factor {factor}")
            }
            Self::TaskscalerPreemptive(count, time, factor) => {
                format!("idle {count}, {time} s, factor {factor}, preemptive")
            }
            Self::Hpa(target, window) | Self::Keda(target, window) => {
                format!("{:.0} %, {window} s", target * 100.0)
            }
            Self::ClusterAutoscaler(unneeded) => format!("unneeded {unneeded} s"),
            Self::Muster(settings) => {
                let mut text = format!("idle_time {} s", settings.idle_time);
                if settings.warm > 0 {
                    text += &format!(", warm {}", settings.warm);
                }
                if settings.headroom > 0.0 {
                    text += &format!(", headroom {}", settings.headroom);
                }
                text
            }
        }
    }

    /// A fresh policy for that world.
    pub fn policy(&self, world: &World) -> Box<dyn Policy> {
        match *self {
            Self::Muster(ref settings) => Box::new(Muster::new(world, settings)),
            Self::Fixed(servers) => Box::new(Fixed { servers }),
            Self::DockerMachine(idle_count, idle_time) => Box::new(DockerMachine {
                idle_count,
                idle_time,
                growth: 0,
            }),
            Self::Taskscaler(time) => Box::new(Taskscaler::idle(time)),
            Self::TaskscalerIdle(count, time, factor) => {
                Box::new(taskscaler(count, time, factor, Preemptive::No))
            }
            Self::TaskscalerPreemptive(count, time, factor) => {
                Box::new(taskscaler(count, time, factor, Preemptive::Yes))
            }
            Self::Hpa(target, window) => Box::new(Horizontal::new(target, window, WhenBlind::Hold)),
            Self::Keda(target, window) => {
                Box::new(Horizontal::new(target, window, WhenBlind::Zero))
            }
            Self::ClusterAutoscaler(unneeded) => Box::new(ClusterAutoscaler { unneeded }),
        }
    }

    /// Each baseline over its own settings.
    pub fn baselines() -> Vec<Self> {
        let mut rules = vec![
            Self::Fixed(0),
            Self::Fixed(4),
            Self::Fixed(8),
            Self::Fixed(12),
        ];
        for time in [60, 300, 1200] {
            rules.push(Self::DockerMachine(0, time));
            rules.push(Self::DockerMachine(1, time));
            rules.push(Self::DockerMachine(2, time));
        }
        let times = [15, 30, 60, 120, 180, 300, 450, 600, 900, 1200];
        rules.extend(times.map(Self::Taskscaler));
        for time in [60, 300, 1200] {
            rules.push(Self::TaskscalerIdle(4, time, 0.0));
            rules.push(Self::TaskscalerIdle(8, time, 0.0));
            rules.push(Self::TaskscalerIdle(0, time, 0.25));
            rules.push(Self::TaskscalerIdle(0, time, 0.5));
            rules.push(Self::TaskscalerPreemptive(8, time, 0.0));
        }
        for window in [60, 300, 900] {
            rules.push(Self::Hpa(0.6, window));
            rules.push(Self::Hpa(0.75, window));
            rules.push(Self::Keda(0.6, window));
            rules.push(Self::Keda(0.75, window));
        }
        rules.extend([60, 300, 600, 1200].map(Self::ClusterAutoscaler));
        rules
    }

    /// Muster over its own settings, with look-ahead, without, and with metrics only.
    pub fn muster() -> Vec<Self> {
        let settings = MusterSettings::default();
        let mut rules = Vec::new();
        for sight in [Sight::Ahead, Sight::Gitlab, Sight::Metrics] {
            for idle_time in [0, 15, 30, 60, 90, 120, 180, 300, 450, 600, 900, 1200] {
                rules.push(Self::Muster(MusterSettings {
                    sight,
                    idle_time,
                    ..settings.clone()
                }));
            }
        }
        for idle_time in [30, 120] {
            for headroom in [0.1, 0.25] {
                rules.push(Self::Muster(MusterSettings {
                    idle_time,
                    headroom,
                    ..settings.clone()
                }));
            }
            for warm in [4, 8] {
                rules.push(Self::Muster(MusterSettings {
                    idle_time,
                    warm,
                    ..settings.clone()
                }));
            }
        }
        rules
    }
}

fn taskscaler(idle_count: u32, idle_time: u32, factor: f64, preemptive: Preemptive) -> Taskscaler {
    Taskscaler {
        idle_count,
        scale_factor: factor,
        preemptive,
        ..Taskscaler::idle(idle_time)
    }
}
