//! The slots that the jobs of a pool need, now and by the time that a new server would join.

use std::time::Duration;

use super::BOOT;
use super::lookahead::{Ahead, LookAhead, offset};
use super::round::{PoolRound, Round};
use crate::explanation::Demand;
use crate::memory::Switch;
use crate::{Event, Jobs};

impl<'a> PoolRound<'a> {
    /// Counts what is needed.
    pub(super) fn count_demand(&mut self, round: &mut Round<'a>) {
        let Some(jobs) = self.jobs(round) else {
            return;
        };
        let horizon = self.boot_time(round);
        let keep = horizon + self.config.idle_time.get();
        let ahead = self.look_ahead(round, horizon, keep);
        let mut demand = Demand {
            known: true,
            pending: jobs.pending,
            running: jobs.running,
            oldest_wait_millis: millis(jobs.oldest_wait),
            horizon_millis: millis(horizon),
            ahead: ahead.starts,
            freed: ahead.freed,
            untold: ahead.untold,
            ..Demand::default()
        };
        demand.peak = demand.now().saturating_add(ahead.peak);
        demand.keep = demand.now().saturating_add(ahead.keep);
        demand.saturation = self.saturation(round, jobs.running);
        self.demand = demand;
    }

    /// Jobs that wait and run. Where nothing tells of the queue, those that run by the metrics.
    fn jobs(&self, round: &Round<'_>) -> Option<Jobs> {
        let seen = self.seen?;
        if let Some(jobs) = round.gitlab(&seen.jobs) {
            return Some(jobs.clone());
        }
        if !self.counts_without_queue(round) {
            return None;
        }
        let hosts = round.fresh(&seen.hosts)?;
        let running = hosts.iter().filter_map(|host| round.metric(&host.running));
        Some(Jobs {
            running: running.fold(0, u32::saturating_add),
            ..Jobs::default()
        })
    }

    /// How long a server of the preferred provider takes to join, nine times in ten.
    pub(super) fn boot_time(&self, round: &Round<'a>) -> Duration {
        let learnt = (0..self.config.provider.len())
            .filter_map(|at| self.provider_memory(round, at))
            .find_map(|memory| memory.boot_seconds.percentile(90));
        learnt.map_or(BOOT, |seconds| Duration::from_secs(u64::from(seconds)))
    }

    fn look_ahead(&self, round: &Round<'a>, horizon: Duration, longer: Duration) -> Ahead {
        let wanted = round.config.gitlab.as_ref().is_some_and(|g| g.lookahead);
        let pipelines = self.seen.and_then(|seen| round.gitlab(&seen.pipelines));
        let Some(pipelines) = pipelines.filter(|_| wanted) else {
            return Ahead::default();
        };
        let durations = &round.ledger.memory.durations;
        let mut look = LookAhead::new(durations, &self.config.name, round.now);
        let longest = offset(longer);
        for pipeline in pipelines {
            look.pipeline(pipeline, longest);
        }
        look.reckon(horizon, longer)
    }

    /// Slots needed as the permanent hosts have been full for a while and jobs wait: the runners'
    /// word that they do, where the queue itself is not known or the wait is too long.
    fn saturation(&mut self, round: &mut Round<'a>, running: u32) -> u32 {
        let threshold = self.config.overload.saturation;
        let was = self.memory.map(|m| m.saturated).unwrap_or_default();
        let lasting = threshold.lasting.get();
        let calm = self.config.overload.calm.get();
        let full = self.fullness(round).map(|full| full > threshold.above);
        let is = was.look(full, round.now, lasting, calm);
        if is != was {
            self.note_saturation(round, is);
        }
        let waits = self.seen.and_then(|seen| round.metric(&seen.wait_p95));
        let too_long = waits.is_some_and(|wait| wait > self.config.target_wait_p95.get());
        if !is.on || !(too_long || self.counts_without_queue(round)) {
            return 0;
        }
        (f64::from(running) / threshold.above).ceil() as u32
    }

    fn note_saturation(&self, round: &mut Round<'a>, switch: Switch) {
        let pool = self.config.name.clone();
        round.fact(Event::Saturation { pool, switch });
    }

    /// Running jobs by slots of the permanent hosts that are up.
    fn fullness(&self, round: &Round<'_>) -> Option<f64> {
        let (mut running, mut slots) = (0u64, 0u64);
        for permanent in &self.permanent {
            if round.metric(&permanent.host.up) == Some(true) {
                running += u64::from(round.metric(&permanent.host.running)?);
                slots += u64::from(round.metric(&permanent.host.slots)?);
            }
        }
        (slots > 0).then(|| running as f64 / slots as f64)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
