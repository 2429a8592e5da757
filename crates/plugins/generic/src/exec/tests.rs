use super::ROW;
use crate::testing::{gather, input};

const LINES: &str = "data_format = 'influx'\n";

#[muster_tasks::test]
async fn reads_what_commands_print() {
    let options = r#"commands = ["echo 'a,t=x v=1'", "sh -c 'echo b v=$N'"]
        environment = ["N=2"]"#;
    let (metrics, errors) = gather(&ROW, &format!("{LINES}{options}")).await;
    assert_eq!(metrics, ["a t=x v=1", "b v=2"]);
    assert!(errors.is_empty(), "{errors:?}");
}

#[muster_tasks::test]
async fn expects_json_and_names_it() {
    let options = r#"commands = ["echo '{\"v\": 1.5}'"]"#;
    let (metrics, errors) = gather(&ROW, options).await;
    assert_eq!((metrics, errors), (vec!["exec v=1.5".to_owned()], vec![]));
}

#[muster_tasks::test]
async fn one_that_fails_does_not_take_the_others() {
    let options = r#"commands = ["sh -c 'echo oops >&2; exit 3'", "echo a v=1", "/no/such/x"]"#;
    let (metrics, errors) = gather(&ROW, &format!("{LINES}{options}")).await;
    assert_eq!(metrics, ["a v=1"]);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(
        errors[0],
        "run sh -c 'echo oops >&2; exit 3': exit code 3: oops"
    );
    assert!(errors[1].contains("start /no/such/x: "), "{errors:?}");
}

#[muster_tasks::test]
async fn an_exit_code_can_be_ignored() {
    let options = "commands = [\"sh -c 'echo a v=1; exit 3'\"]\nignore_error = true";
    let (metrics, errors) = gather(&ROW, &format!("{LINES}{options}")).await;
    assert_eq!((metrics, errors), (vec!["a v=1".to_owned()], vec![]));
}

#[muster_tasks::test]
async fn one_that_hangs_is_killed_and_the_others_count() {
    let options = "commands = ['sleep 1000', 'echo a v=1']\ntimeout = '200ms'";
    let (metrics, errors) = gather(&ROW, &format!("{LINES}{options}")).await;
    assert_eq!(metrics, ["a v=1"]);
    assert!(
        errors[0].contains("run sleep 1000: it took longer than 200ms"),
        "{errors:?}"
    );
}

#[muster_tasks::test]
async fn runs_every_program_that_matches() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let path = folder.path().join(format!("{name}.sh"));
        std::fs::write(&path, format!("#!/bin/sh\necho {name} v=$1")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let options = format!("{LINES}commands = ['{}/*.sh 7']", folder.path().display());
    let (metrics, errors) = gather(&ROW, &options).await;
    assert_eq!(
        (metrics, errors),
        (vec!["one v=7".to_owned(), "two v=7".to_owned()], vec![])
    );
}

#[test]
#[should_panic(expected = "commands[1]")]
fn refuses_what_is_no_command() {
    input(&ROW, "commands = ['true', \"echo 'a\"]");
}
