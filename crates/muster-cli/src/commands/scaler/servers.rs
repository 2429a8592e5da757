//! `muster scaler servers`.

use clap::Args;
use muster_control::api::ScalerView;
use muster_scaler::Status;
use muster_scaler_core::{Server, ServerState};

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;
use crate::text::{Cell, Style, Table, Tone, duration, printable};

/// How to answer.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster scaler servers
  muster scaler servers --json | jq '.[].status.alarms'")]
pub(super) struct ServersArgs {
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

pub(super) fn servers(session: &Session, _: &ServersArgs) -> CommandResult {
    let answer = session.get("ask for the servers", "/api/v1/scaler")?;
    session.present(&answer, |views: &Vec<ScalerView>, style| {
        if views.is_empty() {
            return "no scaler runs in this agent\n".to_owned();
        }
        let words: Vec<String> = views.iter().map(|view| words(view, style)).collect();
        words.join("\n")
    })
}

fn words(view: &ScalerView, style: Style) -> String {
    let status = &view.status;
    let lease = match &status.lease {
        Ok(()) => String::new(),
        Err(why) => format!(", may not act: {}", printable(why)),
    };
    let mut text = format!(
        "{} of {}: mode {}{lease}\n",
        view.id,
        status.owner,
        status.mode.word()
    );
    if status.ledger.servers.is_empty() {
        text.push_str("no temporary servers\n");
    } else {
        text.push_str(&table(status).render(style));
    }
    for (id, provider) in &status.providers {
        if let Some(error) = &provider.error {
            text.push_str(&format!("provider {id}: {}\n", printable(error)));
        }
    }
    for alarm in &status.alarms {
        let line = format!("{}: {}", alarm.code, printable(&alarm.text));
        text.push_str(&style.paint(&line, Tone::Bad));
        text.push('\n');
    }
    text
}

/// The servers as rows.
pub(super) fn table(status: &Status) -> Table {
    let mut table = Table::new(&["NAME", "POOL", "STATE", ">FOR", ">AGE", "PROVIDER", "NOTE"]);
    for server in status.ledger.servers.values() {
        let since =
            |then| duration(u64::try_from(status.at.since(then).as_nanos()).unwrap_or(u64::MAX));
        table.row(vec![
            server.name.0.as_str().into(),
            server.pool.as_str().into(),
            Cell::toned(server.state.to_string(), tone(server.state)),
            since(server.since).into(),
            since(server.planned).into(),
            server.provider.to_string().into(),
            Cell::toned(note(server), Tone::Dim),
        ]);
    }
    table
}

const fn tone(state: ServerState) -> Tone {
    match state {
        ServerState::Joined => Tone::Good,
        ServerState::Unknown | ServerState::Quarantined | ServerState::Stuck => Tone::Bad,
        _ => Tone::Warn,
    }
}

fn note(server: &Server) -> String {
    let drain = server.drain.as_ref().map(|drain| drain.why.clone());
    let note = server.last_error.clone().or(drain).unwrap_or_default();
    printable(&note).replace('\n', " ")
}
