use muster_scaler_core::provider::{DeleteAnswer, DescribeAnswer, Phase};
use muster_tasks::Group;

use super::protocol;
use crate::testing::{ExecWorld, World, conformance};

#[muster_tasks::test]
async fn passes_the_suite(root: Group) {
    conformance::conformance(&ExecWorld::new(&root)).await;
}

#[muster_tasks::test]
async fn shows_its_options_without_secrets(root: Group) {
    let world = ExecWorld::new(&root);
    let shown = format!("{:?}", world.provider());
    assert!(shown.contains("***"), "{shown}");
    assert!(!shown.contains(&world.secrets()[0]), "{shown}");
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_listing_without_its_last_line_is_not_complete() {
    let server =
        r#"{"id":"1","name":"a","labels":{"k":"v"},"phase":"error","message":"x","created":1.5}"#;
    let check = |text: &str, want: Result<(usize, bool), &str>| {
        let got = protocol::listing(&lines(text));
        match (got, want) {
            (Ok((servers, complete)), want) => {
                assert_eq!(Ok((servers.len(), complete)), want, "{text}");
            }
            (Err(error), Err(want)) => assert!(error.contains(want), "{error}"),
            (Err(error), Ok(_)) => panic!("{text}: {error}"),
        }
    };
    check("", Ok((0, false)));
    check(r#"{"complete":true}"#, Ok((0, true)));
    check(&format!("{server}\n{{\"complete\":true}}"), Ok((1, true)));
    check(&format!("{server}\n{{\"complete\":false}}"), Ok((1, false)));
    check(server, Ok((1, false)));
    check(&server[..40], Err("not as it should be"));
    check(
        &format!("{{\"complete\":true}}\n{server}"),
        Err("not as it should be"),
    );
    let (servers, _) = protocol::listing(&lines(server)).unwrap();
    assert_eq!(servers[0].phase, Phase::Error("x".to_owned()));
    assert_eq!(
        servers[0].created.map(muster_scaler_core::Time::millis),
        Some(1500)
    );
}

#[test]
fn reads_the_other_answers() {
    let created =
        |text| protocol::created(&lines(text)).map(|created| (created.id, created.already));
    assert_eq!(created(r#"{"id":"7"}"#), Ok(("7".to_owned(), false)));
    assert_eq!(
        created(r#"{"id":"7","already":true,"more":1}"#),
        Ok(("7".to_owned(), true))
    );
    assert!(created(r#"{"id":""}"#).is_err());
    assert!(created("").unwrap_err().contains("answered nothing"));
    assert!(created("{}\n{}").unwrap_err().contains("2 lines"));
    let deleted = |text| protocol::deleted(&lines(text));
    assert_eq!(deleted(r#"{"gone":true}"#), Ok(DeleteAnswer::Gone));
    assert_eq!(deleted(r#"{"accepted":true}"#), Ok(DeleteAnswer::Accepted));
    assert_eq!(
        deleted(r#"{"refused":"no"}"#),
        Ok(DeleteAnswer::Refused("no".to_owned()))
    );
    assert!(deleted(r#"{"gone":false}"#).is_err());
    let described = |text| protocol::described(&lines(text), "7");
    assert_eq!(described(r#"{"gone":true}"#), Ok(DescribeAnswer::Gone));
    assert!(
        described(r#"{"id":"8","name":"a","phase":"active"}"#)
            .unwrap_err()
            .contains("asked for 7")
    );
    assert_eq!(
        protocol::limits(&lines(r#"{"servers":3}"#))
            .unwrap()
            .servers,
        Some(3)
    );
}
