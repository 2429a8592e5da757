//! What is said about a configuration that is wrong, and how.

use crate::plugins::{check, problems, read, read_with};
use muster_config::LoadOptions;

#[test]
fn every_problem_has_its_place_and_a_hint() {
    check(
        "[[inputs.cpu]]\n  percpuu = true\n  skip = -1\n  intervall = '5s'\n",
        &[
            "muster.conf:2:3: unknown option `percpuu` in `inputs.cpu` (did you mean `percpu`?)",
            "muster.conf:3:10: `skip` in `inputs.cpu`: invalid value: integer `-1`, expected a whole number from 0 to 255",
            "muster.conf:4:3: unknown option `intervall` in `inputs.cpu` (did you mean `interval`?)",
        ],
    );
    check(
        "[[inputs.cpu]]\ninterval = 'soon'\nnamepass = 'cpu*'\n[inputs.cpu.tagpass]\ncpu = 'cpu0'\n",
        &[
            "muster.conf:2:12: `interval` in `inputs.cpu`: \"soon\" is no duration: write for example \"10s\", \"1m30s\", \"500ms\" or \"2d\"",
            "muster.conf:3:12: `namepass` in `inputs.cpu`: expected a list, found string \"cpu*\" (write a list: `namepass = [\"...\"]`)",
            "muster.conf:5:7: `tagpass.cpu` in `inputs.cpu`: expected a list, found string \"cpu0\" (write a list: `cpu = [\"...\"]`)",
        ],
    );
    check(
        "[[inputs.http]]\n[[inputs.http.field]]\nname = 'a'\n[[inputs.http.field]]\nnam = 'b'\n[inputs.http.headers]\n\"a.b\" = 1\n",
        &[
            "muster.conf:5:1: unknown option `nam` in `inputs.http.field[1]` (did you mean `name`?)",
            "muster.conf:7:9: `headers.a.b` in `inputs.http`: expected a string, found integer `1`",
        ],
    );
}

#[test]
fn all_unknown_plugins_at_once() {
    let text =
        "[[inputs.cpuu]]\n[[inputs.zap]]\n[[outputs.fil]]\n[[inputs.file]]\n[[inputs.cpu]]\n";
    let skip = "`--skip-unknown-plugins` leaves out what there is not";
    check(
        text,
        &[
            &format!("muster.conf:1:1: unknown input plugin `cpuu` (did you mean `cpu`? ({skip}))"),
            &format!("muster.conf:2:1: unknown input plugin `zap` ({skip})"),
            &format!(
                "muster.conf:3:1: unknown output plugin `fil` (did you mean `file`? ({skip}))"
            ),
            &format!(
                "muster.conf:4:1: unknown input plugin `file` (there is an output of that name, `outputs.file` ({skip}))"
            ),
        ],
    );
    let options = LoadOptions {
        skip_unknown_plugins: true,
        ..LoadOptions::default()
    };
    let loaded = read_with(text, &options).unwrap();
    assert_eq!(loaded.config.definitions.len(), 1);
    assert_eq!(loaded.warnings.len(), 4);
    assert_eq!(
        loaded.warnings[0].to_string(),
        "muster.conf:1:1: unknown input plugin `cpuu`: `inputs.cpuu` is left out (did you mean `cpu`?)"
    );
}

#[test]
fn tables_that_are_none() {
    check(
        "interval = '10s'\nx = 1\n[agents]\n[[cpu]]\n[[agent]]\n[inputs]\ncpu = 1\n[processors.rename]\n",
        &[
            "muster.conf:1:1: option `interval` stands outside of any table (put it below `[agent]`)",
            "muster.conf:2:1: option `x` stands outside of any table (put it below the table that it belongs to)",
            "muster.conf:3:2: unknown table `agents` (did you mean `agent`?)",
            "muster.conf:4:3: unknown list of tables `[[cpu]]` (write `[[inputs.cpu]]`)",
            "muster.conf:5:3: `agent` is one table, not a list (write `[agent]`)",
            "muster.conf:7:1: `cpu` in `inputs` is no table (components are tables: `[[inputs.cpu]]`)",
            "muster.conf:8:1: `processors.rename` must be a list of tables (write `[[processors.rename]]`)",
        ],
    );
    check(
        "[[secretstores.os]]\nid = 'a'\n[scaler]\n[[sentinel.redis]]\n[cluster]\n[[leaks.target]]\n[[input.cpu]]\n[wat]\n",
        &[
            "muster.conf:1:3: secret stores are not supported yet (use environment variables: `password = \"${PASSWORD}\"`)",
            "muster.conf:3:1: unknown scaler plugin `scaler` (`--skip-unknown-plugins` leaves out what there is not)",
            "muster.conf:4:1: unknown check or publisher plugin `redis` (`--skip-unknown-plugins` leaves out what there is not)",
            "muster.conf:5:2: `cluster` is not in this version yet",
            "muster.conf:6:3: `leaks` is not in this version yet",
            "muster.conf:7:3: unknown table `input` (did you mean `inputs`?)",
            "muster.conf:8:2: unknown table `wat` (known tables: agent, aggregators, control, global_tags, inputs, outputs, processors, scaler, sentinel, tags)",
        ],
    );
}

#[test]
fn several_syntax_errors_at_once() {
    let found = problems(read(
        "[agent\ninterval = '10s'\n[[inputs.cpu]]\nskip = \n percpu = yes\n",
    ));
    assert!(found.len() >= 3, "{found:#?}");
    let places: Vec<&str> = found.iter().filter_map(|line| line.get(..14)).collect();
    assert_eq!(
        places,
        ["muster.conf:1:", "muster.conf:4:", "muster.conf:5:"],
        "{found:#?}"
    );
}

#[test]
fn renders_the_line_with_a_caret() {
    let problems = read("[[inputs.cpu]]\n  percpuu = true # all\n").unwrap_err();
    assert_eq!(
        problems.render(false),
        "error: unknown option `percpuu` in `inputs.cpu`\n \
         --> muster.conf:2:3\n  \
           |\n\
         2 |   percpuu = true # all\n  \
           |   ^^^^^^^\n  \
           |\n  \
           = help: did you mean `percpu`?"
    );
    assert!(problems.render(true).contains('\x1b'));
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "severity": "error",
            "message": "unknown option `percpuu` in `inputs.cpu`",
            "hint": "did you mean `percpu`?",
            "file": "muster.conf",
            "line": 2,
            "column": 3,
            "related": [],
        }])
    );
}

#[test]
fn secrets_are_never_shown() {
    let never = |text: &str| {
        let problems = read(text).unwrap_err();
        let shown = format!(
            "{}{problems}{problems:?}{}",
            problems.render(false),
            serde_json::to_string(&problems).unwrap()
        );
        for secret in ["hunter2", "31337", "s3cr"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        shown
    };
    never("[[inputs.http]]\npassword = ['hunter2']\n");
    never("[[inputs.http]]\npin = 31337\n");
    never("[[inputs.http]]\nx = {password = 'hunter2', y = 1}\n");
    never("[[inputs.http]]\npassword = \"${PASSWORD}\"\nusername = ['${PASSWORD}']\n");
    never("[[inputs.http]]\npasswrd = 's3cr'\n[[inputs.http]]\napi_token = 's3cr'\n");
    never("[[inputs.http]]\nurl = 'http://me:hunter2@host/'\n");
    never("[[inputs.http]]\nheaders = {Authorization = 'hunter2', x = 1}\n");
    never("[[inputs.http]]\npassword = 'hunter2\n");
    never("[[inputs.http]]\npassword = hunter2\nkey = '''\n");
    never("[[inputs.http]]\nx = {password = 'hunter2' y = 1}\n");
    never("[[inputs.nope]]\nx = {token = 'hunter2'}\ny = [\n");
    let shown = never("[[inputs.http]]\nx = {password = 'hunter2', y = 1}\n");
    assert!(shown.contains("x = {password = '***', y = 1}"), "{shown}");
    let text = LoadOptions {
        env_mode: muster_config::EnvMode::Text,
        ..LoadOptions::default()
    };
    let shown = read_with("[[inputs.cpu]]\nskip = '${PASSWORD}'\n", &text).unwrap_err();
    assert!(
        !shown.render(false).contains("hunter2\n"),
        "{}",
        shown.render(false)
    );
}

#[test]
fn messages_do_not_control_the_terminal() {
    let problems = read("[[inputs.cpu]]\n\"\\u001b[2J\" = 1\n").unwrap_err();
    assert!(!problems.render(false).contains('\x1b'));
    assert!(!problems.to_string().contains('\x1b'));
}

#[test]
fn later_and_odd_options() {
    check(
        "[[inputs.cpu]]\nmetricpass = \"name == 'x'\"\nnamepass = ['ok', 'a[', 'b*']\n",
        &[
            "muster.conf:2:1: `metricpass` is not supported yet in `inputs.cpu` (use `namepass`, `tagpass` and their like where they suffice)",
            "muster.conf:3:19: `namepass[1]` in `inputs.cpu`: \"a[\" is no pattern: a [ has no ]",
        ],
    );
    check(
        "[[outputs.file]]\nstartup_error_behavior = 'probe'\n[[aggregators.minmax]]\nperiod = 0\n",
        &[
            "muster.conf:2:26: `startup_error_behavior` in `outputs.file`: only inputs can probe (possible are error, retry, ignore)",
            "muster.conf:4:10: `period` in `aggregators.minmax`: a window must be longer than 0",
        ],
    );
    check(
        "[agent]\ninterval = 0\nflush_interval = '0s'\nskip_processors_before_aggregators = true\nskip_processors_after_aggregators = true\ncollection_offset = '-1s'\n",
        &[
            "muster.conf:6:21: `collection_offset` in `agent`: \"-1s\" is negative; a duration here is at least zero",
        ],
    );
    check(
        "[agent]\ninterval = 0\nflush_interval = '0s'\nskip_processors_before_aggregators = true\nskip_processors_after_aggregators = true\n",
        &[
            "muster.conf:1:2: the agent's `interval` must be longer than 0",
            "muster.conf:1:2: the agent's `flush_interval` must be longer than 0",
            "muster.conf:1:2: processors are skipped both before and after the aggregators, so they never run",
        ],
    );
    check(
        "[[inputs.http]]\npassword = '@{vault:pw}'\nusername = '@{vault:pw}'\n",
        &[
            "muster.conf:2:12: `password` in `inputs.http`: secret stores are not supported yet (use an environment variable)",
        ],
    );
    check(
        "[[inputs.cpu]]\nskip = 99999999999999999999\n",
        &["muster.conf:2:8: 99999999999999999999 does not fit into 64 bits"],
    );
}

#[test]
fn warnings_do_not_stop() {
    check(
        "[agent]\nlogtarget = 'file'\n[[inputs.cpu]]\nfieldpass = ['x']\norder = 3\n[[outputs.file]]\ninterval = '5s'\ndata_format = 'influx'\n",
        &[
            "warning: muster.conf:2:1: `logtarget` has no effect (a `logfile` decides whether the log goes into a file)",
            "warning: muster.conf:4:1: `fieldpass` is deprecated in `inputs.cpu` (use `fieldinclude`)",
            "warning: muster.conf:5:1: `order` has no effect on the input `cpu` in `inputs.cpu`",
            "warning: muster.conf:7:1: `interval` has no effect on the output `file` in `outputs.file`",
            "warning: muster.conf:8:1: `data_format` has no effect on the output `file` in `outputs.file`",
        ],
    );
    check(
        "[[processors.rename]]\n[[aggregators.minmax]]\n",
        &[
            "warning: `skip_processors_after_aggregators` is not set: processors run a second time, on what the aggregators make (set it in `[agent]`, to `false` to keep it so; Telegraf will change its default to `true`)",
        ],
    );
}
