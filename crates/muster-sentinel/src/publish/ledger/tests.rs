use super::*;
use crate::board::Slot;
use crate::status::{CheckKind, Outcome, Reason, Target};

/// So many operations go into one batch.
const MOST: usize = 100;

const ID: &str = "redis:10.0.0.1:1";
const PATH: &str = "/v1/redis/shop/10.0.0.1:1";

struct World {
    board: Arc<Board>,
    ledger: Ledger,
}

impl World {
    fn new(mode: PublishMode) -> Self {
        let board = Arc::<Board>::default();
        let news = board.subscribe(Interest::Changes);
        let writer = Writer::default();
        let refresh = Duration::from_secs(30);
        let ledger = Ledger::new(mode, Arc::clone(&board), news, writer, refresh);
        Self { board, ledger }
    }

    fn open(&self) -> Arc<Slot> {
        let instance = Instance {
            kind: CheckKind::Redis,
            cluster: "shop".to_owned(),
            target: Target::Tcp {
                host: "10.0.0.1".to_owned(),
                port: 1,
            },
        };
        self.board.open(instance, Arc::default()).unwrap()
    }

    fn observe(&self, slot: &Slot) {
        let now = self.board.clock().now();
        slot.observe(now, Outcome::new(Reason::Ok, "").into(), Duration::ZERO);
    }

    /// A round in which this is read of each key of which nothing is known, and all is written.
    fn round(&mut self, read: Known) -> Vec<(String, Step)> {
        self.ledger.take_news();
        let mut done = Vec::new();
        while let Some(mut chunk) = self.ledger.next(MOST) {
            for (id, _) in self.ledger.unknown(&chunk) {
                match read {
                    Known::Theirs => self.ledger.is_theirs(&id, Duration::from_secs(1)),
                    read => self.ledger.learn(&id, read),
                }
            }
            for part in self.ledger.collect(&mut chunk, MOST) {
                self.ledger.is_done(&part, 1);
                done.push((part.path, part.step));
            }
        }
        done.sort_by(|a, b| a.0.cmp(&b.0));
        done
    }
}

const OURS: Known = Known::Ours { version: 7 };

fn is(path: &str, step: Step) -> (String, Step) {
    (path.to_owned(), step)
}

#[muster_tasks::test]
async fn what_others_write_is_not_kept_in_mind_when_it_has_gone() {
    let mut world = World::new(PublishMode::Status);
    let slot = world.open();
    assert_eq!(world.round(Known::Theirs), []);
    assert_eq!(world.ledger.record(ID).unwrap().known, Known::Theirs);
    drop(slot);
    world.ledger.take_news();
    assert!(world.ledger.record(ID).is_none());
    // The other reporter starts anew: its documents stay.
    world.ledger.forget_all();
    assert_eq!(world.round(OURS), []);

    // One that is found to be theirs when it has gone here.
    let slot = world.open();
    world.observe(&slot);
    assert_eq!(world.round(Known::Absent), [is(PATH, Step::Create)]);
    drop(slot);
    assert_eq!(world.round(OURS), []);
    world.ledger.forget_all();
    assert_eq!(world.round(Known::Theirs), []);
    assert!(world.ledger.record(ID).is_none());
}

#[muster_tasks::test]
async fn a_key_moves_with_its_cluster() {
    for mode in [PublishMode::Status, PublishMode::Ephemeral] {
        let mut world = World::new(mode);
        let slot = world.open();
        world.observe(&slot);
        let at = |slot: &Slot| format!("{}/10.0.0.1:1", mode.folder(&slot.instance()));
        let shop = at(&slot);
        assert_eq!(world.round(Known::Absent), [is(&shop, Step::Create)]);
        slot.set_cluster("bar");
        let bar = at(&slot);
        let moved = [is(&bar, Step::Create), is(&shop, Step::Delete(Some(1)))];
        assert_eq!(world.round(Known::Absent), moved);
        assert_eq!(world.ledger.records().count(), 1);

        // There and back before anything was written.
        slot.set_cluster("shop");
        world.ledger.take_news();
        assert_eq!(world.ledger.records().count(), 2);
        slot.set_cluster("bar");
        world.ledger.take_news();
        let paths: Vec<&str> = world.ledger.records().map(|r| r.path.as_str()).collect();
        assert!(paths.contains(&bar.as_str()) && paths.contains(&shop.as_str()));
        assert_eq!(world.round(Known::Absent), []);
        assert_eq!(world.ledger.records().count(), 1);
    }
}

#[muster_tasks::test]
async fn what_is_there_stays_until_the_first_check() {
    let mut world = World::new(PublishMode::Status);
    let slot = world.open();
    assert_eq!(world.round(OURS), []);
    world.ledger.forget_all();
    assert_eq!(world.round(OURS), []);
    // It is removed by hand: then it is better to say that nothing is known.
    world.ledger.forget_all();
    assert_eq!(world.round(Known::Absent), [is(PATH, Step::Create)]);
    world.observe(&slot);
    assert_eq!(world.round(OURS), [is(PATH, Step::Put(1))]);

    let mut world = World::new(PublishMode::Status);
    let _slot = world.open();
    assert_eq!(world.round(OURS), []);
    // The end is told also of those that were never checked.
    world.ledger.end();
    assert_eq!(world.round(OURS), [is(PATH, Step::Put(7))]);
}
