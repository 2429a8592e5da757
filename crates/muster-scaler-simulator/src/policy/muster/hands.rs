//! Carries out actions in the simulated world.

use std::collections::BTreeMap;

use muster_scaler_core::provider::Refusal;
use muster_scaler_core::{Action, Event, Happening, ServerName, Time};

use crate::policy::Desk;
use crate::state::Answer;

/// Which server of the world is which of the ledger, and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Hands {
    by_name: BTreeMap<ServerName, Known>,
    /// Names by the world's numbers.
    names: BTreeMap<u32, ServerName>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    server: u32,
    /// A pause or its contrary is on its way.
    turning: bool,
    /// It was told to go.
    leaving: bool,
}

impl Hands {
    /// The ledger's name of a server.
    pub(super) fn name(&self, server: u32) -> Option<&ServerName> {
        self.names.get(&server)
    }

    /// All of the ledger's servers that were asked for.
    pub(super) fn servers(&self) -> impl Iterator<Item = (&ServerName, u32)> {
        self.by_name
            .iter()
            .map(|(name, known)| (name, known.server))
    }

    /// Counts servers that are let go and taken back.
    pub(super) fn note(&mut self, desk: &mut Desk<'_, '_>, event: &Event) {
        let Event::Server { name, what, .. } = event else {
            return;
        };
        let Some(known) = self.by_name.get_mut(name) else {
            return;
        };
        match what {
            Happening::Draining(_) | Happening::Removing(_) if !known.leaving => {
                known.leaving = true;
                desk.state.scaled_in();
            }
            Happening::Undrained => known.leaving = false,
            _ => {}
        }
    }

    /// How the calls went that are answered now.
    pub(super) fn outcomes(&mut self, desk: &Desk<'_, '_>, now: Time) -> Vec<Event> {
        let mut events = Vec::new();
        for answer in desk.answers() {
            let (server, what) = match *answer {
                Answer::Created(server) => (server, Happening::Exists(id(server))),
                Answer::Lost(server) => (server, Happening::AnswerLost("no answer".to_owned())),
                Answer::Refused(server) => {
                    let why = "no room".to_owned();
                    (server, Happening::Refused(Refusal::Capacity, why))
                }
                Answer::Gone(server) => (server, Happening::Removed),
                Answer::Paused(server) => (server, Happening::DrainPaused),
                Answer::Unpaused(server) => {
                    self.turned(server);
                    continue;
                }
            };
            if matches!(answer, Answer::Paused(_)) {
                self.turned(server);
            }
            let Some(name) = self.names.get(&server).cloned() else {
                continue;
            };
            let gone = matches!(answer, Answer::Gone(_));
            events.push(Event::server(&name, now, what));
            if gone {
                self.names.remove(&server);
                self.by_name.remove(&name);
            }
        }
        events
    }

    fn turned(&mut self, server: u32) {
        let known = self
            .names
            .get(&server)
            .and_then(|name| self.by_name.get_mut(name));
        if let Some(known) = known {
            known.turning = false;
        }
    }

    /// Does it; what is so at once.
    pub(super) fn act(
        &mut self,
        desk: &mut Desk<'_, '_>,
        action: &Action,
        now: Time,
        reduced: bool,
    ) -> Vec<Event> {
        match action {
            Action::Create(name, provider) => {
                if self.by_name.contains_key(name) {
                    return Vec::new();
                }
                let pools = &desk.state.world.pools;
                let Some(pool) = pools.iter().position(|pool| pool.name == provider.pool) else {
                    return Vec::new();
                };
                let server = desk.state.create(pool as u16);
                self.names.insert(server, name.clone());
                let known = Known {
                    server,
                    turning: false,
                    leaving: false,
                };
                self.by_name.insert(name.clone(), known);
                let mut events = vec![Event::server(name, now, Happening::Requesting)];
                if !reduced {
                    let made = Happening::RunnerMade(runner(server));
                    events.insert(0, Event::server(name, now, made));
                }
                events
            }
            Action::Pause(name) => {
                if let Some(server) = self.turn(name) {
                    desk.state.pause(server);
                }
                Vec::new()
            }
            Action::Unpause(name) => {
                if let Some(server) = self.turn(name) {
                    desk.state.unpause(server);
                }
                Vec::new()
            }
            Action::Delete(name) => self.delete(desk, name, now),
            Action::PauseHost(_) | Action::UnpauseHost(_) => Vec::new(),
        }
    }

    /// The server that is to be paused or unpaused, if that is not on its way.
    fn turn(&mut self, name: &ServerName) -> Option<u32> {
        let known = self.by_name.get_mut(name)?;
        if known.turning {
            return None;
        }
        known.turning = true;
        Some(known.server)
    }

    fn delete(&mut self, desk: &mut Desk<'_, '_>, name: &ServerName, now: Time) -> Vec<Event> {
        let known = self.by_name.get(name).copied();
        let exists = known.filter(|known| desk.state.servers[known.server as usize].gone.is_none());
        if let Some(known) = exists {
            desk.state.delete(known.server);
            return vec![Event::server(name, now, Happening::DeleteAccepted)];
        }
        // It never was, or was never asked for.
        if let Some(known) = known {
            self.names.remove(&known.server);
            self.by_name.remove(name);
        }
        vec![Event::server(name, now, Happening::Removed)]
    }
}

/// The provider's ID of a server.
pub(super) fn id(server: u32) -> String {
    format!("server-{server}")
}

/// The runner object of a server.
pub(super) const fn runner(server: u32) -> u64 {
    server as u64 + 1
}
