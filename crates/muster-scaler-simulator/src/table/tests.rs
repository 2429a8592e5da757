use proptest::prelude::*;

use super::{read, write};
use crate::{Load, Synthetic};

fn fails(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

const HEAD: &str = "arrival,pipeline,stage,name,tags,duration\n";

#[test]
fn a_table_is_read() {
    let text = "name,stage,pipeline,arrival,duration,tags,note\n\
                test,1,shop/7,2026-11-02T08:00:00Z,12.5,\"linux, docker\",x\n\
                build,0,shop/7,1793606399.5,60,,\n\
                lint,0,shop/8,2026-11-02T07:00:00Z,1,docker,\n";
    let load = read(text.as_bytes()).unwrap();
    assert_eq!((load.pipelines.len(), load.jobs()), (2, 3));
    let [first, second] = &load.pipelines[..] else {
        panic!("two pipelines");
    };
    assert_eq!(
        (first.name.as_str(), second.name.as_str()),
        ("shop/8", "shop/7")
    );
    assert_eq!(first.project, second.project);
    // The earliest of its jobs, half a second before eight.
    assert_eq!(second.arrival.millis(), 1_793_606_399_500);
    let [build, test] = &second.jobs[..] else {
        panic!("two jobs");
    };
    assert_eq!(
        (build.stage, build.millis, load.tags.word(build.tags)),
        (0, 60_000, "")
    );
    assert_eq!((test.stage, test.millis), (1, 12_500));
    assert_eq!(
        (load.names.word(test.name), load.tags.word(test.tags)),
        ("test", "docker,linux")
    );
}

#[test]
fn errors_name_the_line() {
    assert_eq!(
        fails("arrival,pipeline,stage,name,tags\n"),
        "read line 1: the column `duration` is missing; the columns are \
         arrival,pipeline,stage,name,tags,duration"
    );
    let cases = [
        (
            "soon,1,0,a,,1\n",
            "`arrival` is neither RFC 3339 nor seconds since 1970",
        ),
        ("-1,1,0,a,,1\n", "`arrival` is not between 1970 and 2096"),
        ("0,,0,a,,1\n", "`pipeline` is empty"),
        ("0,1,1000,a,,1\n", "`stage` is not a number from 0 to 999"),
        (
            "0,1,0,a,,NaN\n",
            "`duration` is not a number of seconds up to 30 days",
        ),
        (
            "0,1,0,a,,-1\n",
            "`duration` is not a number of seconds up to 30 days",
        ),
        ("0,1,0,a\n", "the column `tags` is missing"),
    ];
    for (line, what) in cases {
        let text = format!("{HEAD}0,1,0,a,,1\n{line}");
        assert_eq!(fails(&text), format!("read line 3: {what}"));
    }
    assert_eq!(fails(HEAD), "find a job in the table");
    let long = "x".repeat(5000);
    let text = format!("{HEAD}0,1,0,{long},,1\n");
    assert_eq!(
        fails(&text),
        "read line 2: `name` is longer than 4096 bytes"
    );
}

fn round_trip(load: &Load) -> Load {
    let mut bytes = Vec::new();
    write(load, &mut bytes).unwrap();
    read(bytes.as_slice()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn what_is_written_is_read_again(seed in 0u64..10_000, tag in "[a-z \"';]{0,8}") {
        let options = Synthetic { days: 1, jobs_per_day: 100.0, ..Synthetic::default() };
        let mut load = options.draw(seed);
        let tags = load.tags.position(&format!("b,{}", tag.trim()));
        for pipeline in load.pipelines.iter_mut().skip(1) {
            pipeline.jobs[0].tags = tags;
        }
        let once = round_trip(&load);
        prop_assert_eq!(once.jobs(), load.jobs());
        prop_assert!((once.job_hours() - load.job_hours()).abs() < 1e-9);
        for (read, written) in once.pipelines.iter().zip(&load.pipelines) {
            prop_assert_eq!(read.arrival, written.arrival);
        }
        prop_assert_eq!(&round_trip(&once), &once);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut text = HEAD.as_bytes().to_vec();
        text.extend(bytes);
        drop(read(text.as_slice()));
    }
}
