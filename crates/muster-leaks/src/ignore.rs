//! What is not a leak: by the user's word, or by design.

mod text;

pub use text::{RuleError, rules};

use muster_options::Globs;

use crate::profile::{Frame, Group, Stack};
use crate::site::Site;

/// What the user knows and accepts. A rule holds where all that it names matches; one that names
/// nothing holds nowhere.
#[derive(Clone, Debug, Default)]
pub struct IgnoreRule {
    /// The function of any frame of the stack: `github.com/acme/cache.*`.
    pub function: Globs,
    /// The source file of the blocking line: `*/cache/*.go`.
    pub file: Globs,
    /// A profiler label and its values. A rule with a label has neither a creator nor a bound.
    pub label: Option<(String, Globs)>,
    /// The function with the `go` statement. It is known only once there was a dump.
    pub created_by: Globs,
    /// The rule holds up to this many goroutines at the site.
    pub max_count: Option<u64>,
}

impl IgnoreRule {
    /// Whether goroutines of this group do not even count. Rules that must know the whole site do
    /// not hide groups.
    pub(crate) fn hides_group(&self, group: &Group) -> bool {
        let site = Site::of(group);
        self.created_by.is_empty()
            && self.max_count.is_none()
            && self.matches_stack(&site, &group.stack)
            && self.label.as_ref().is_none_or(|(key, values)| {
                group.label(key).is_some_and(|value| values.matches(value))
            })
            && !(self.function.is_empty() && self.file.is_empty() && self.label.is_none())
    }

    /// Whether a site is no suspect.
    pub(crate) fn hides_site(
        &self,
        site: &Site,
        stack: &Stack,
        created_by: Option<&Frame>,
        count: u64,
    ) -> bool {
        let creator = self.created_by.is_empty()
            || created_by.is_some_and(|frame| self.created_by.matches(&frame.function));
        let named = !(self.created_by.is_empty() && self.max_count.is_none());
        named
            && creator
            && self.label.is_none()
            && self.max_count.is_none_or(|most| count <= most)
            && self.matches_stack(site, stack)
    }

    fn matches_stack(&self, site: &Site, stack: &Stack) -> bool {
        let function = self.function.is_empty()
            || stack
                .iter()
                .any(|frame| self.function.matches(&frame.function));
        function && (self.file.is_empty() || self.file.matches(&site.frame.file))
    }
}

/// Functions whose goroutines wait for as long as the process lives, and how many of each there
/// are in a healthy process. A function is named by its beginning. `main.main` may wait, too.
pub const IDLE: &[(&str, u64)] = &[
    ("os/signal.signal_recv", 1),
    ("os/signal.loop", 1),
    ("github.com/golang/glog.(*loggingT).flushDaemon", 1),
    ("github.com/golang/glog.(*fileSink).flushDaemon", 1),
    ("k8s.io/klog/v2.(*flushDaemon).run", 2),
    ("k8s.io/klog.(*loggingT).flushDaemon", 1),
    (
        "go.uber.org/zap/zapcore.(*BufferedWriteSyncer).flushLoop",
        16,
    ),
    ("gopkg.in/natefinch/lumberjack.v2.(*Logger).millRun", 64),
    ("go.opencensus.io/stats/view.(*worker).start", 4),
    (
        "go.opentelemetry.io/otel/sdk/trace.(*batchSpanProcessor).processQueue",
        16,
    ),
    (
        "go.opentelemetry.io/otel/sdk/metric.(*PeriodicReader).run",
        16,
    ),
    ("k8s.io/client-go/util/workqueue.", 1_000),
    ("k8s.io/client-go/tools/cache.", 1_000),
    ("k8s.io/apimachinery/pkg/watch.", 1_000),
    ("database/sql.(*DB).connectionOpener", 16),
    ("database/sql.(*DB).connectionCleaner", 16),
    ("google.golang.org/grpc.(*ccBalancerWrapper).watcher", 64),
    (
        "google.golang.org/grpc/internal/grpcsync.(*CallbackSerializer).run",
        256,
    ),
    ("github.com/patrickmn/go-cache.(*janitor).Run", 64),
    ("github.com/dgraph-io/ristretto.", 64),
    ("internal/singleflight.", 8),
];

/// Whether so many goroutines on this stack wait by design.
pub(crate) fn idle_by_design(stack: &Stack, count: u64) -> bool {
    let alone = count == 1
        && stack
            .last()
            .is_some_and(|frame| &*frame.function == "main.main");
    alone
        || IDLE.iter().any(|(function, most)| {
            count <= *most
                && stack
                    .iter()
                    .any(|frame| frame.function.starts_with(function))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Label, LabelValue, WaitClass};

    fn globs(pattern: &str) -> Globs {
        Globs::new(&[pattern], &[]).unwrap()
    }

    fn group() -> Group {
        let stack = Stack::new(vec![
            Frame::new("a.io/cache.(*Cache).wait", "/src/cache/cache.go", 10),
            Frame::new("a.io/cache.(*Cache).run", "/src/cache/cache.go", 20),
        ]);
        let mut group = Group::new(5, stack, WaitClass::Receive);
        group.labels = [Label {
            key: "job".into(),
            value: LabelValue::Text("sweep".into()),
        }]
        .into();
        group
    }

    #[test]
    fn a_rule_hides_groups_where_all_that_it_names_matches() {
        let check = |rule: IgnoreRule, hides: bool| {
            assert_eq!(rule.hides_group(&group()), hides, "{rule:?}");
        };
        let label = |value: &str| Some(("job".to_owned(), globs(value)));
        let function = |pattern: &str| IgnoreRule {
            function: globs(pattern),
            ..IgnoreRule::default()
        };
        check(IgnoreRule::default(), false);
        check(function("*.run"), true);
        check(function("main.*"), false);
        check(
            IgnoreRule {
                file: globs("*/cache/*"),
                ..function("*")
            },
            true,
        );
        check(
            IgnoreRule {
                file: globs("*/queue/*"),
                ..function("*")
            },
            false,
        );
        check(
            IgnoreRule {
                label: label("sw*"),
                ..IgnoreRule::default()
            },
            true,
        );
        check(
            IgnoreRule {
                label: label("other"),
                ..IgnoreRule::default()
            },
            false,
        );
        check(
            IgnoreRule {
                max_count: Some(9),
                ..function("*")
            },
            false,
        );
    }

    #[test]
    fn a_rule_with_a_bound_or_a_creator_hides_sites() {
        let group = group();
        let site = Site::of(&group);
        let creator = Frame::new("a.io/cache.New", "/src/cache/cache.go", 5);
        let check = |rule: IgnoreRule, count, hides: bool| {
            let hidden = rule.hides_site(&site, &group.stack, Some(&creator), count);
            assert_eq!(hidden, hides, "{rule:?} {count}");
        };
        let bound = IgnoreRule {
            function: globs("a.io/*"),
            max_count: Some(9),
            ..IgnoreRule::default()
        };
        check(bound.clone(), 9, true);
        check(bound, 10, false);
        let by = |pattern: &str| IgnoreRule {
            created_by: globs(pattern),
            ..IgnoreRule::default()
        };
        check(by("*.New"), 1_000, true);
        check(by("*.Old"), 1_000, false);
        check(IgnoreRule::default(), 1, false);
    }

    #[test]
    fn what_idles_by_design_may_do_so_up_to_a_number() {
        let stack = |function: &str| Stack::new(vec![Frame::new(function, "f.go", 1)]);
        assert!(idle_by_design(&stack("os/signal.loop"), 1));
        assert!(!idle_by_design(&stack("os/signal.loop"), 20));
        assert!(idle_by_design(&stack("main.main"), 1));
        assert!(!idle_by_design(&stack("main.work"), 1));
    }
}
