//! Which call does what.

use http::Method;
use muster_net::http_server::query_pairs;
use serde_json::{Value, json};

use super::answers::{self, Answer, message, not_found, of_json, with};
use super::request::Request;
use super::world::RunnerSpec;
use super::{Shared, now, view};
use crate::{JobStatus, RunnerType};

pub(super) async fn answer(shared: &Shared, request: &Request) -> Answer {
    let segments: Vec<&str> = request.path.split('/').collect();
    let is_post = request.method == Method::POST;
    match segments.as_slice() {
        ["runners", "verify"] if is_post => verify(shared, request),
        ["jobs", "request"] if is_post => request_job(shared, request).await,
        ["jobs", id] if request.method == Method::PUT => update_job(shared, request, id),
        ["jobs", id, "trace"] if request.method == Method::PATCH => trace(shared, request, id),
        ["jobs", _, "artifacts"] if is_post => message(201, "201"),
        ["runners"] if request.method == Method::DELETE => unregister(shared, request),
        ["runners", "managers"] if request.method == Method::DELETE => {
            unregister_manager(shared, request)
        }
        segments => with_token(shared, request, segments),
    }
}

/// The calls that carry an access token.
fn with_token(shared: &Shared, request: &Request, segments: &[&str]) -> Answer {
    let bearer = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let given = request
        .header("private-token")
        .or(bearer)
        .unwrap_or_default();
    let (scopes, admin) = {
        let mut world = shared.world.lock();
        if world.is_too_fast(given, now()) {
            return answers::too_many(1);
        }
        match world.tokens.get(given) {
            Some(token) => (token.scopes.clone(), token.admin),
            None => return message(401, "401 Unauthorized"),
        }
    };
    let may = |wanted: &[&str]| scopes.iter().any(|scope| wanted.contains(&scope.as_str()));
    let needs: &[&str] = match (&request.method, segments) {
        (_, ["personal_access_tokens", "self"]) => &[],
        (&Method::GET, ["version"]) => &["api", "read_api", "read_user"],
        (&Method::POST, ["user", "runners"]) => &["api", "create_runner"],
        // `manage_runner` is taken only where the path names a runner.
        (&Method::GET, ["runners" | "projects" | "groups"] | ["runners", "all"]) => {
            &["api", "read_api"]
        }
        (&Method::GET, ["runners", ..]) => &["api", "read_api", "manage_runner"],
        (_, ["runners", ..]) => &["api", "manage_runner"],
        (&Method::GET, ["projects" | "groups", ..]) => &["api", "read_api"],
        _ => &["api"],
    };
    if !needs.is_empty() && !may(needs) {
        return answers::insufficient_scope(&needs.join(" "));
    }
    match (&request.method, segments) {
        (&Method::GET, ["personal_access_tokens", "self"]) => of_json(
            200,
            &json!({
                "id": 1, "name": "scaler", "revoked": false, "scopes": scopes, "user_id": 1,
                "active": true, "expires_at": "2099-01-01",
            }),
        ),
        (&Method::GET, ["version"]) => {
            of_json(200, &json!({ "version": "18.5.0", "revision": "double" }))
        }
        (&Method::POST, ["user", "runners"]) => make_runner(shared, request, admin),
        (&Method::GET, ["runners", "all"]) if !admin => answers::forbidden(),
        (&Method::GET, ["runners"] | ["runners", "all"]) => list_runners(shared, request),
        (method, ["runners", id, rest @ ..]) => one_runner(shared, request, method, id, rest),
        (&Method::GET, ["projects", id, rest @ ..]) => project(shared, request, id, rest),
        (&Method::GET, ["groups", id, "projects"]) => group_projects(shared, request, id),
        _ => not_found("Path"),
    }
}

/// One page of a list, without a count.
fn page(shared: &Shared, request: &Request, all: &[Value]) -> Answer {
    let number = |name: &str| {
        request
            .query(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let per_page = number("per_page").unwrap_or(20);
    let per_page = per_page.clamp(1, shared.options.page_limit.max(1));
    if request.query("pagination") == Some("keyset") {
        return page_by_id(request, all, per_page);
    }
    let at = number("page").unwrap_or(1).max(1);
    let begin = (at - 1).saturating_mul(per_page).min(all.len());
    let end = begin.saturating_add(per_page).min(all.len());
    let next = if end < all.len() {
        (at + 1).to_string()
    } else {
        String::new()
    };
    let items = Value::Array(all[begin..end].to_vec());
    let answer = with(of_json(200, &items), "x-next-page", &next);
    let answer = with(answer, "x-page", &at.to_string());
    with(answer, "x-per-page", &per_page.to_string())
}

/// One page of a list of jobs, newest first, from behind the ID that the link before gave.
fn page_by_id(request: &Request, all: &[Value], per_page: usize) -> Answer {
    let cursor = request
        .query("cursor")
        .and_then(|text| text.parse::<u64>().ok());
    let id = |row: &Value| row["id"].as_u64().unwrap_or_default();
    let mut left = all
        .iter()
        .filter(|row| cursor.is_none_or(|cursor| id(row) < cursor));
    let items: Vec<Value> = left.by_ref().take(per_page).cloned().collect();
    let next = left.next().and_then(|_| items.last().map(id));
    let answer = of_json(200, &Value::Array(items));
    let Some(next) = next else {
        return answer;
    };
    let pairs = request.query.iter().filter(|(key, _)| key != "cursor");
    let query: String = pairs
        .map(|(key, value)| format!("{key}={value}&"))
        .collect();
    let link = format!(
        "<http://elsewhere.invalid/api/v4/{}?{query}cursor={next}>; rel=\"next\"",
        request.path
    );
    with(answer, "link", &link)
}

fn spec_of(request: &Request) -> Option<RunnerSpec> {
    let runner_type: RunnerType =
        serde_json::from_value(request.json.get("runner_type")?.clone()).ok()?;
    let scope = match runner_type {
        RunnerType::InstanceType => None,
        RunnerType::GroupType => Some(request.number("group_id")?),
        RunnerType::ProjectType => Some(request.number("project_id")?),
    };
    let text = |name| request.text(name).unwrap_or_default().to_owned();
    Some(RunnerSpec {
        description: text("description"),
        tags: request.tags("tag_list").unwrap_or_default(),
        run_untagged: request.flag("run_untagged").unwrap_or(true),
        runner_type,
        scope,
        protected: request.text("access_level") == Some("ref_protected"),
        paused: request.flag("paused").unwrap_or(false),
        note: text("maintenance_note"),
    })
}

fn make_runner(shared: &Shared, request: &Request, admin: bool) -> Answer {
    let Some(spec) = spec_of(request) else {
        return of_json(
            400,
            &json!({ "error": "runner_type, group_id or project_id is missing" }),
        );
    };
    if spec.runner_type == RunnerType::InstanceType && !admin {
        return message(403, "403 Forbidden - Insufficient permissions");
    }
    if spec.tags.is_empty() && !spec.run_untagged {
        let said = json!({ "message": { "tags_list":
            ["can not be empty when runner is not allowed to pick untagged jobs"] } });
        return of_json(400, &said);
    }
    if spec.note.chars().count() > 1024 {
        let said = json!({ "message": { "maintenance_note":
            ["is too long (maximum is 1024 characters)"] } });
        return of_json(400, &said);
    }
    let mut world = shared.world.lock();
    if !world.has_room_for_a_runner() {
        let said = json!({ "message": { "base":
            ["Maximum number of ci registered runners (1000) exceeded"] } });
        return of_json(400, &said);
    }
    let (id, token) = world.add_runner(&spec, now());
    of_json(
        201,
        &json!({ "id": id, "token": token, "token_expires_at": null }),
    )
}

fn list_runners(shared: &Shared, request: &Request) -> Answer {
    let world = shared.world.lock();
    let paused = request.query("paused").and_then(|text| text.parse().ok());
    let tags: Vec<&str> = request
        .query("tag_list")
        .map(|tags| tags.split(',').collect())
        .unwrap_or_default();
    let runners = world.runners.values().filter(|runner| {
        let spec = &runner.spec;
        paused.is_none_or(|paused: bool| paused == spec.paused)
            && tags
                .iter()
                .all(|tag| spec.tags.iter().any(|own| own == tag))
    });
    // Newest first, as GitLab lists them.
    let mut rows: Vec<Value> = runners.map(view::runner_row).collect();
    rows.reverse();
    page(shared, request, &rows)
}

fn one_runner(
    shared: &Shared,
    request: &Request,
    method: &Method,
    id: &str,
    rest: &[&str],
) -> Answer {
    let mut world = shared.world.lock();
    let id: u64 = id.parse().unwrap_or_default();
    let Some(runner) = world.runners.get_mut(&id) else {
        return not_found("Runner");
    };
    match (method, rest) {
        (&Method::GET, []) => of_json(200, &view::runner_details(runner)),
        (&Method::PUT, []) => {
            if let Some(paused) = request.flag("paused") {
                runner.spec.paused = paused;
            }
            if let Some(note) = request.text("maintenance_note") {
                note.clone_into(&mut runner.spec.note);
            }
            if let Some(tags) = request.tags("tag_list") {
                runner.spec.tags = tags;
            }
            let answer = of_json(200, &view::runner_details(runner));
            // A pause wakes nobody: the requests that are held go on as they began.
            if !runner.spec.paused {
                world.nudge();
            }
            drop(world);
            shared.change(|_, _| ());
            answer
        }
        (&Method::DELETE, []) => {
            world.runners.remove(&id);
            answers::empty(204)
        }
        (&Method::GET, ["managers"]) => {
            let runner = &world.runners[&id];
            let rows = runner.managers.iter().map(|manager| {
                let busy = !world.running_on(id, Some(&manager.system_id)).is_empty();
                view::manager(manager, busy)
            });
            of_json(200, &rows.collect())
        }
        (&Method::GET, ["jobs"]) => {
            let wanted = request.query("status");
            let system_id = request.query("system_id");
            let now = now();
            let jobs = world.jobs.values().filter(|job| {
                job.runner == Some(id)
                    && wanted.is_none_or(|wanted| wanted == job.status.word())
                    && system_id.is_none_or(|system_id| system_id == job.system_id)
            });
            let rows: Vec<Value> = jobs.map(|job| view::job(job, now)).collect();
            page(shared, request, &rows)
        }
        _ => not_found("Path"),
    }
}

fn decoded(segment: &str) -> String {
    let pair = format!("x={segment}");
    query_pairs(&pair)
        .map(|(_, value)| value)
        .next()
        .unwrap_or_default()
}

fn project(shared: &Shared, request: &Request, id: &str, rest: &[&str]) -> Answer {
    let world = shared.world.lock();
    let Some(project) = world.project(&decoded(id)) else {
        return not_found("Project");
    };
    let now = now();
    let scopes: Vec<&str> = request
        .query
        .iter()
        .filter(|(key, _)| matches!(key.as_str(), "scope" | "scope[]"))
        .map(|(_, value)| value.as_str())
        .collect();
    let known = |word: &&str| {
        let status: Result<JobStatus, _> = serde_json::from_value(Value::from(*word));
        status.is_ok_and(|status| status != JobStatus::Other)
    };
    if !scopes.iter().all(known) {
        return message(400, "Scope contains invalid value(s)");
    }
    let pipeline = match rest {
        [] => {
            return of_json(200, &view::project(project));
        }
        ["jobs"] | ["pipelines", _, "jobs"] if !project.has_ci => {
            return message(403, "403 Forbidden");
        }
        ["jobs"] => None,
        ["pipelines", pipeline, "jobs"] => Some(pipeline.parse::<u64>().unwrap_or_default()),
        _ => return not_found("Path"),
    };
    let jobs = world.jobs.values().rev().filter(|job| {
        job.project == project.id
            && pipeline.is_none_or(|pipeline| pipeline == job.pipeline)
            && (scopes.is_empty() || scopes.contains(&job.status.word()))
    });
    let rows: Vec<Value> = jobs.map(|job| view::job(job, now)).collect();
    page(shared, request, &rows)
}

fn group_projects(shared: &Shared, request: &Request, id: &str) -> Answer {
    let world = shared.world.lock();
    let name = decoded(id);
    let of_path = || world.groups.iter().find(|(_, path)| **path == name);
    let found = match name.parse::<u64>() {
        Ok(id) => world.groups.get_key_value(&id),
        Err(_) => of_path(),
    };
    let Some((group, path)) = found else {
        return not_found("Group");
    };
    let below = format!("{path}/");
    let rows: Vec<Value> = world
        .projects
        .values()
        .filter(|project| project.group == Some(*group) || project.path.starts_with(&below))
        .map(view::project)
        .collect();
    page(shared, request, &rows)
}

fn runner_of(shared: &Shared, request: &Request) -> Option<(u64, String)> {
    let mut world = shared.world.lock();
    let runner = world.runner_of(request.text("token")?)?;
    // Runners from before the time of system IDs share this one.
    let system_id = request.text("system_id").unwrap_or("<legacy>").to_owned();
    world.contact(runner, &system_id, now());
    Some((runner, system_id))
}

fn verify(shared: &Shared, request: &Request) -> Answer {
    let Some((id, _)) = runner_of(shared, request) else {
        return answers::forbidden();
    };
    of_json(
        200,
        &json!({ "id": id, "token": request.text("token"), "token_expires_at": null }),
    )
}

fn unregister(shared: &Shared, request: &Request) -> Answer {
    let mut world = shared.world.lock();
    let Some(id) = request
        .text("token")
        .and_then(|token| world.runner_of(token))
    else {
        return answers::forbidden();
    };
    world.runners.remove(&id);
    answers::empty(204)
}

fn unregister_manager(shared: &Shared, request: &Request) -> Answer {
    let mut world = shared.world.lock();
    let id = request
        .text("token")
        .and_then(|token| world.runner_of(token));
    let Some(runner) = id.and_then(|id| world.runners.get_mut(&id)) else {
        return answers::forbidden();
    };
    let system_id = request.text("system_id").unwrap_or_default();
    runner
        .managers
        .retain(|manager| manager.system_id != system_id);
    answers::empty(204)
}

async fn request_job(shared: &Shared, request: &Request) -> Answer {
    let Some((runner, system_id)) = runner_of(shared, request) else {
        return answers::forbidden();
    };
    let is_active = || {
        let world = shared.world.lock();
        world.runners.get(&runner).map(|runner| !runner.spec.paused)
    };
    let was_active = is_active() == Some(true);
    let mut queue = shared.queue.subscribe();
    let version = *queue.borrow_and_update();
    let mut word = version.to_string();
    let last = request.text("last_update");
    if last == Some(word.as_str()) {
        let changed = tokio::time::timeout(shared.options.hold, queue.changed()).await;
        if changed.is_err() {
            return with(answers::empty(204), "x-gitlab-last-update", &word);
        }
        word = queue.borrow().to_string();
    }
    // A request that began before the pause is judged by how it began, as one that GitLab was
    // already at work on.
    let may = match is_active() {
        None => return answers::forbidden(),
        Some(active) => active || (was_active && shared.options.pause_race),
    };
    let job = may.then(|| shared.change(|world, now| world.take(runner, &system_id, now)));
    match job.flatten() {
        Some(job) => of_json(201, &view::received_job(&shared.world.lock(), job, now())),
        None => with(answers::empty(204), "x-gitlab-last-update", &word),
    }
}

/// The answer for a job that is not its runner's to write any more.
fn not_processing(status: Option<JobStatus>) -> Answer {
    match status {
        Some(status) => {
            let answer = message(403, "403 Forbidden - Job is not processing on runner");
            with(answer, "job-status", status.word())
        }
        None => answers::forbidden(),
    }
}

fn update_job(shared: &Shared, request: &Request, id: &str) -> Answer {
    let id = id.parse().unwrap_or_default();
    let token = request.text("token").unwrap_or_default();
    let state = request.text("state").unwrap_or("running");
    let reason = request.text("failure_reason").unwrap_or("script_failure");
    shared.change(|world, now| {
        if let Err(status) = world.running_job(id, token, now) {
            return not_processing(status);
        }
        match state {
            "success" => world.finish(id, JobStatus::Success, None, now),
            "failed" => world.finish(id, JobStatus::Failed, Some(reason), now),
            _ => {}
        }
        let answer = of_json(200, &json!("200"));
        let answer = with(answer, "x-gitlab-trace-update-interval", "3");
        let status = world.jobs.get(&id).map(|job| job.status.word());
        with(answer, "job-status", status.unwrap_or_default())
    })
}

fn trace(shared: &Shared, request: &Request, id: &str) -> Answer {
    let id = id.parse().unwrap_or_default();
    let token = request.header("job-token").unwrap_or_default();
    let Some(range) = request.header("content-range") else {
        return message(400, "400 Missing header Content-Range");
    };
    let begin: usize = range
        .split('-')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usize::MAX);
    let mut world = shared.world.lock();
    if let Err(status) = world.running_job(id, token, now()) {
        return not_processing(status);
    }
    let Some(job) = world.jobs.get_mut(&id) else {
        return answers::forbidden();
    };
    if begin != job.log {
        let answer = message(416, "416 Range Not Satisfiable");
        return with(answer, "range", &format!("0-{}", job.log));
    }
    job.log = job.log.saturating_add(request.body.len());
    let answer = with(answers::empty(202), "range", &format!("0-{}", job.log));
    let answer = with(answer, "x-gitlab-trace-update-interval", "3");
    with(answer, "job-status", job.status.word())
}
