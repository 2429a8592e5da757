use proptest::prelude::*;

use super::*;
use crate::hook::PipelineEvent;
use crate::jobs::PipelineRef;

fn at(seconds: i64) -> Time {
    Time::from_secs(seconds)
}

fn rule(name: &str, tags: &[&str], run_untagged: bool) -> PoolRule {
    PoolRule {
        name: name.to_owned(),
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        run_untagged,
    }
}

fn book() -> JobBook {
    JobBook::new(vec![
        rule("small", &["docker"], true),
        rule("big", &["docker", "big"], false),
    ])
}

fn event(id: u64, status: JobStatus, tags: Option<&[&str]>) -> JobEvent {
    JobEvent {
        id,
        name: "unit".to_owned(),
        stage: "test".to_owned(),
        status,
        pipeline: 1,
        project: 7,
        tags: tags.map(|tags| tags.iter().map(|&tag| tag.to_owned()).collect()),
        ..JobEvent::default()
    }
}

fn listed(id: u64, status: JobStatus, stage: &str, tags: &[&str]) -> JobInfo {
    JobInfo {
        id,
        name: format!("job {id}"),
        stage: stage.to_owned(),
        status,
        tag_list: tags.iter().map(|&tag| tag.to_owned()).collect(),
        duration: Some(4.0),
        queued_duration: Some(2.0),
        pipeline: Some(PipelineRef {
            id: 1,
            project_id: 7,
        }),
        ..JobInfo::default()
    }
}

fn counts(book: &JobBook, pool: &str, now: i64) -> (u32, u32) {
    let jobs = book.jobs(pool, at(now));
    (jobs.pending, jobs.running)
}

#[test]
fn a_job_belongs_to_the_first_pool_that_takes_it() {
    let check = |tags: &[&str], want: [u32; 2]| {
        let mut book = book();
        book.poll(
            7,
            at(1),
            &[listed(1, JobStatus::Pending, "test", tags)],
            at(1),
        );
        let got = ["small", "big"].map(|pool| counts(&book, pool, 1).0);
        assert_eq!(got, want, "{tags:?}");
    };
    check(&["docker"], [1, 0]);
    check(&["docker", "big"], [0, 1]);
    check(&["big"], [0, 1]);
    check(&[], [1, 0]);
    check(&["windows"], [0, 0]);
    check(&["docker", "windows"], [0, 0]);
}

#[test]
fn moments_are_those_of_the_state_by_our_clock() {
    let mut book = book();
    let jobs = [
        listed(1, JobStatus::Pending, "build", &[]),
        listed(2, JobStatus::Running, "build", &[]),
    ];
    book.poll(7, at(100), &jobs, at(101));
    let pipeline = &book.pipelines("small")[0];
    let states: Vec<JobState> = pipeline.jobs.iter().map(|job| job.state).collect();
    assert_eq!(
        states,
        [JobState::Pending(at(99)), JobState::Running(at(97))]
    );
    assert_eq!(
        book.jobs("small", at(105)).oldest_wait,
        Duration::from_secs(6)
    );
    // A second telling of the same state does not begin it anew.
    book.hook(&Hook::Job(event(1, JobStatus::Pending, None)), at(110));
    assert_eq!(
        book.jobs("small", at(110)).oldest_wait,
        Duration::from_secs(11)
    );
    book.hook(&Hook::Job(event(1, JobStatus::Running, None)), at(111));
    assert_eq!(counts(&book, "small", 111), (0, 2));
}

#[test]
fn a_webhook_goes_before_a_poll_that_began_earlier_and_after_none_that_began_later() {
    let mut book = book();
    let ended = Hook::Job(event(1, JobStatus::Success, Some(&[])));
    book.poll(
        7,
        at(10),
        &[listed(1, JobStatus::Running, "test", &[])],
        at(10),
    );
    book.hook(&ended, at(21));
    // This poll was begun before the job ended and still has it.
    let missed = book.poll(
        7,
        at(20),
        &[listed(1, JobStatus::Running, "test", &[])],
        at(22),
    );
    assert_eq!((counts(&book, "small", 22), missed.len()), ((0, 0), 0));
    // This one was begun later: what it says holds (the job was retried under the same ID).
    book.poll(
        7,
        at(30),
        &[listed(1, JobStatus::Running, "test", &[])],
        at(31),
    );
    assert_eq!(counts(&book, "small", 31), (0, 1));
    // A job that is missing ended without a word.
    let missed = book.poll(7, at(40), &[], at(41));
    assert_eq!(missed, HashSet::from([1]));
    assert_eq!(counts(&book, "small", 41), (0, 0));
}

#[test]
fn a_job_without_tags_told_asks_for_a_poll_and_counts_for_nobody_until_then() {
    let mut book = book();
    let heard = book.hook(&Hook::Job(event(1, JobStatus::Pending, None)), at(5));
    assert_eq!(heard, Heard::Ask(7));
    assert_eq!((counts(&book, "small", 5), book.unresolved()), ((0, 0), 1));
    book.poll(
        7,
        at(4),
        &[listed(1, JobStatus::Created, "test", &["docker"])],
        at(6),
    );
    assert_eq!((counts(&book, "small", 6), book.unresolved()), ((1, 0), 0));
    let heard = book.hook(&Hook::Job(event(1, JobStatus::Pending, None)), at(7));
    assert_eq!(heard, Heard::Nothing);
    let heard = book.hook(
        &Hook::Job(event(2, JobStatus::Created, Some(&["big"]))),
        at(7),
    );
    assert_eq!(heard, Heard::Changed);
}

#[test]
fn stages_are_in_the_pipelines_order_and_only_what_moves_is_ahead() {
    let mut book = book();
    let jobs = [
        listed(3, JobStatus::Created, "deploy", &["windows"]),
        listed(2, JobStatus::Created, "test", &[]),
        listed(1, JobStatus::Running, "build", &[]),
    ];
    book.poll(7, at(1), &jobs, at(1));
    let order = |book: &JobBook| -> Vec<(u64, u32, Option<String>)> {
        let pipeline = &book.pipelines("small")[0];
        let row = |job: &Job| (job.id, job.stage, job.pool.clone());
        pipeline.jobs.iter().map(row).collect()
    };
    let small = || Some("small".to_owned());
    assert_eq!(
        order(&book),
        [(1, 0, small()), (2, 1, small()), (3, 2, None)]
    );
    // A webhook knows the order, whatever the IDs say.
    let hook = PipelineEvent {
        id: 1,
        project: 7,
        stages: ["build", "deploy", "test"].map(str::to_owned).to_vec(),
        jobs: Vec::new(),
    };
    book.hook(&Hook::Pipeline(hook), at(2));
    assert_eq!(
        order(&book),
        [(1, 0, small()), (3, 1, None), (2, 2, small())]
    );
    assert!(book.pipelines("big").is_empty());
    book.hook(&Hook::Job(event(1, JobStatus::Manual, None)), at(3));
    assert!(book.pipelines("small").is_empty(), "nothing in it moves");
}

#[test]
fn jobs_that_ended_well_are_told_once() {
    let mut book = book();
    let mut end = event(1, JobStatus::Success, None);
    end.duration = Some(Duration::from_millis(61_600));
    book.poll(
        7,
        at(1),
        &[listed(1, JobStatus::Running, "test", &[])],
        at(1),
    );
    book.hook(&Hook::Job(end.clone()), at(2));
    book.hook(&Hook::Job(end), at(3));
    book.hook(&Hook::Job(event(2, JobStatus::Failed, None)), at(3));
    let ended = book.take_ended();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].project, ended[0].seconds), (7, 62));
    assert!(book.take_ended().is_empty());
    book.poll(
        7,
        at(4),
        &[listed(3, JobStatus::Running, "test", &[])],
        at(4),
    );
    let missed = book.poll(7, at(5), &[], at(5));
    let list = [
        listed(3, JobStatus::Success, "test", &[]),
        listed(9, JobStatus::Success, "test", &[]),
    ];
    book.ended(&missed, 7, &list);
    assert_eq!(book.take_ended().len(), 1);
}

#[test]
fn it_is_as_old_as_the_oldest_of_its_polls() {
    let mut book = book();
    assert_eq!(book.as_of(&[7]), None);
    book.poll(7, at(5), &[], at(6));
    book.poll(8, at(9), &[], at(9));
    assert_eq!(book.as_of(&[7, 8]), Some(at(5)));
    assert_eq!(book.as_of(&[7, 8, 9]), None);
    assert_eq!(book.as_of(&[]), None);
    book.keep_projects(&[8]);
    assert_eq!(book.as_of(&[7]), None);
}

fn status() -> impl Strategy<Value = JobStatus> {
    prop_oneof![
        Just(JobStatus::Created),
        Just(JobStatus::Pending),
        Just(JobStatus::Running),
        Just(JobStatus::Success),
        Just(JobStatus::Canceled),
        Just(JobStatus::Manual),
    ]
}

proptest! {
    /// Whatever webhooks said, in whatever order, lost or twice: a poll that began after them is
    /// all that counts.
    #[test]
    fn a_later_poll_is_right(
        hooks in prop::collection::vec((1_u64..20, status(), any::<bool>()), 0..60),
        polled in prop::collection::btree_map(1_u64..20, status(), 0..20),
    ) {
        let mut after = book();
        for (id, status, tagged) in hooks {
            let tags: Option<&[&str]> = tagged.then_some(&["docker"]);
            after.hook(&Hook::Job(event(id, status, tags)), at(10));
        }
        let jobs: Vec<JobInfo> = polled
            .iter()
            .map(|(id, status)| listed(*id, *status, "test", &["docker"]))
            .collect();
        after.poll(7, at(20), &jobs, at(21));
        let mut fresh = book();
        fresh.poll(7, at(20), &jobs, at(21));
        prop_assert_eq!(after.jobs("small", at(30)), fresh.jobs("small", at(30)));
        prop_assert_eq!(after.pipelines("small"), fresh.pipelines("small"));
        prop_assert_eq!(after.unresolved(), 0);
    }

    /// A webhook that came after the poll began is not undone by it.
    #[test]
    fn a_newer_webhook_stays(id in 1_u64..5, told in status(), polled in status()) {
        let mut book = book();
        book.hook(&Hook::Job(event(id, told, Some(&["docker"]))), at(21));
        book.poll(7, at(20), &[listed(id, polled, "test", &["docker"])], at(22));
        let jobs = book.jobs("small", at(22));
        prop_assert_eq!(jobs.pending, u32::from(told == JobStatus::Pending));
        prop_assert_eq!(jobs.running, u32::from(told == JobStatus::Running));
    }
}
