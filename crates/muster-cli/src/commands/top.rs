//! `muster top`.

mod model;
pub(crate) mod screen;
mod view;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crossterm::event::{self, Event, KeyEventKind};
use http::Method;
use muster_control::api::{ComponentView, StatusView};
use muster_plugin::Kind;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ClientArgs;
use crate::client::Client;
use crate::session::Session;
use crate::text::{Style, print};
use crate::{CommandResult, Failure};
use model::Model;
use screen::Screen;
use view::{Sort, View};

/// Keys are looked for so often.
const KEYS_EVERY: Duration = Duration::from_millis(40);

/// What to show.
#[derive(Debug, Args)]
#[command(
    after_help = "Keys: q ends; up and down, page up and down choose a line; left and right choose the column to
sort by, r turns it round; / filters by a part of the ID, plugin or state, Esc forgets the filter.
Into a pipe or file, one plain table is written.

Examples:
  muster top
  muster top --sort errors --filter inputs/
  muster top | head -20"
)]
pub(crate) struct TopArgs {
    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    interval: muster_options::Duration,
    /// By which column to sort.
    #[arg(long, value_enum, default_value_t = Sort::Id)]
    sort: Sort,
    /// Only components whose name, plugin or state has this part.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print one table and end, on a terminal too.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn top(session: &Session, args: &TopArgs) -> CommandResult {
    use std::io::IsTerminal;
    let view = View::new(args.sort, args.filter.clone());
    if session.json {
        let snapshot = session.block_on(fetch(session.client()))?;
        let Snapshot { status, components } = snapshot;
        session.print_json(&json!({"status": status, "components": components}))?;
    } else if args.once || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let mut model = Model::default();
        let snapshot = session.block_on(fetch(session.client()))?;
        model.update(now(), snapshot);
        print(&view.table(&model, now(), session.style))?;
    } else {
        let interval = args.interval.get().max(Duration::from_millis(100));
        session.block_on(watch(session.client(), interval, view, session.style))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the agent says at one moment.
#[derive(Debug)]
struct Snapshot {
    status: StatusView,
    components: Vec<ComponentView>,
}

async fn fetch(client: &Client) -> Result<Snapshot, Failure> {
    let get = |path| client.call("watch the agent", Method::GET, path, None);
    let status = get("/api/v1/status").await?.to()?;
    let mut components = Vec::new();
    for kind in Kind::ALL {
        let path = format!("/api/v1/{}", kind.plural());
        let answer = client
            .call("watch the agent", Method::GET, &path, None)
            .await?;
        components.extend(answer.to::<Vec<ComponentView>>()?);
    }
    Ok(Snapshot { status, components })
}

/// Shows the agent until somebody presses q.
async fn watch(
    client: &Client,
    interval: Duration,
    mut view: View,
    style: Style,
) -> Result<(), Failure> {
    let mut model = Model::default();
    // If there is no agent, the terminal stays as it is.
    model.update(now(), fetch(client).await?);
    let failed =
        |error: std::io::Error| Failure::failed(format!("failed to use the terminal: {error}"));
    let mut end = signal(SignalKind::terminate()).map_err(failed)?;
    let mut screen = Screen::open().map_err(failed)?;
    loop {
        let round = async {
            tokio::time::sleep(interval).await;
            fetch(client).await
        };
        tokio::pin!(round);
        loop {
            screen
                .draw(|size| view.frame(&model, now(), size, style))
                .map_err(failed)?;
            tokio::select! {
                outcome = &mut round => {
                    match outcome {
                        Ok(snapshot) => model.update(now(), snapshot),
                        Err(failure) => model.lost(&failure),
                    }
                    break;
                }
                () = tokio::time::sleep(KEYS_EVERY) => {}
                _ = end.recv() => return Ok(()),
            }
            while event::poll(Duration::ZERO).map_err(failed)? {
                let goes_on = match event::read().map_err(failed)? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => view.key(key),
                    Event::Resize(..) => {
                        screen.forget();
                        true
                    }
                    _ => true,
                };
                if !goes_on {
                    return Ok(());
                }
            }
        }
    }
}

fn now() -> i64 {
    muster_metric::Timestamp::now().nanos()
}
