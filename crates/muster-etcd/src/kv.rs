//! Keys and values: reads, writes, and both together in a transaction.

use serde_json::{Map, Value, json};

use crate::client::{Again, Call};
use crate::wire::{DeleteAnswer, Done, OpAnswer, RangeAnswer, TxnAnswer, encode};
use crate::{Client, Error, ErrorKind, LeaseId};

/// The largest request that is sent, in bytes as etcd counts them: its own default limit.
pub const MAX_REQUEST: usize = 3 << 19;

/// The most operations (and the most compares) of a transaction: etcd's own default limit.
pub const MAX_OPS: usize = 128;

/// The largest answer that is read, in bytes as sent (keys and values take a third more there).
pub const MAX_ANSWER: usize = 32 << 20;

/// So many bytes are counted for each part of a request beside its keys and values.
const OVERHEAD: usize = 32;

/// So many keys are read at once by [`Client::get_all`].
const PAGE: u32 = 256;

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// The value; empty if only keys were asked for.
    pub value: Vec<u8>,
    /// The revision that created it.
    pub created: i64,
    /// The revision that wrote it last: its version.
    pub modified: i64,
    /// The lease that it is bound to.
    pub lease: Option<LeaseId>,
}

impl KeyValue {
    /// The key as text, if it is UTF-8.
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.key).ok()
    }
}

/// A key, or all keys in a part of their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    from: Vec<u8>,
    /// The first key behind it; `None` for one key.
    to: Option<Vec<u8>>,
}

impl Range {
    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self {
            from: key.into(),
            to: None,
        }
    }

    /// All keys that begin so.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let from: Vec<u8> = prefix.into();
        // The next text of at most this length; if there is none, everything from here on (a zero).
        let mut to = from.clone();
        while to.last() == Some(&0xff) {
            to.pop();
        }
        match to.last_mut() {
            Some(last) => *last += 1,
            None => to.push(0),
        }
        let from = if from.is_empty() { vec![0] } else { from };
        Self { from, to: Some(to) }
    }

    /// All keys from the first on, before the second.
    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self {
            from: from.into(),
            to: Some(to.into()),
        }
    }

    fn bytes(&self) -> usize {
        OVERHEAD + self.from.len() + self.to.as_ref().map_or(0, Vec::len)
    }

    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("key".to_owned(), encode(&self.from).into());
        if let Some(to) = &self.to {
            json.insert("range_end".to_owned(), encode(to).into());
        }
        json
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.from).into_owned()
    }
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    range: Range,
    limit: u32,
    keys_only: bool,
    revision: i64,
}

impl Get {
    /// All of a range, as it is now.
    pub fn of(range: Range) -> Self {
        Self {
            range,
            limit: 0,
            keys_only: false,
            revision: 0,
        }
    }

    /// One key.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self::of(Range::key(key))
    }

    /// At most so many, in the order of their keys; 0 for all.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Without values.
    #[must_use]
    pub fn keys_only(mut self) -> Self {
        self.keys_only = true;
        self
    }

    /// As it was at this revision.
    #[must_use]
    pub fn at(mut self, revision: i64) -> Self {
        self.revision = revision;
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut json = self.range.to_json();
        json.insert("limit".to_owned(), self.limit.to_string().into());
        json.insert("keys_only".to_owned(), self.keys_only.into());
        json.insert("revision".to_owned(), self.revision.to_string().into());
        json.into()
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The servers' revision when it was read.
    pub revision: i64,
    /// The keys, in their order.
    pub kvs: Vec<KeyValue>,
    /// There are more than the limit.
    pub more: bool,
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads.
    Get(Get),
    /// Writes a key, whatever was there.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
        /// The lease that it is bound to from now on.
        lease: Option<LeaseId>,
    },
    /// Deletes.
    Delete(Range),
}

impl Op {
    /// Writes a key, whatever was there.
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, lease: Option<LeaseId>) -> Self {
        Self::Put {
            key: key.into(),
            value: value.into(),
            lease,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Get(get) => get.range.bytes(),
            Self::Put { key, value, .. } => OVERHEAD + key.len() + value.len(),
            Self::Delete(range) => range.bytes(),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Get(get) => json!({ "request_range": get.to_json() }),
            Self::Put { key, value, lease } => {
                json!({ "request_put": put_json(key, value, *lease) })
            }
            Self::Delete(range) => json!({ "request_delete_range": range.to_json() }),
        }
    }
}

fn put_json(key: &[u8], value: &[u8], lease: Option<LeaseId>) -> Value {
    let lease = lease.map_or(0, |lease| lease.0).to_string();
    json!({ "key": encode(key), "value": encode(value), "lease": lease })
}

/// What one operation of a transaction has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpDone {
    /// It was read.
    Got(Vec<KeyValue>),
    /// It was written.
    Put,
    /// So many keys were deleted.
    Deleted(u64),
}

/// What must hold of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It was written last by this revision.
    Modified(i64),
    /// It was created by this revision, and not deleted since.
    Created(i64),
    /// It is there, bound to this lease.
    BoundTo(LeaseId),
}

/// A key of which something must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Vec<u8>,
    /// What must hold.
    pub is: Condition,
}

impl Compare {
    /// Something must hold of a key.
    pub fn new(key: impl Into<Vec<u8>>, is: Condition) -> Self {
        Self {
            key: key.into(),
            is,
        }
    }

    fn to_json(&self) -> Value {
        let (target, field, value, result) = match self.is {
            Condition::Absent => ("CREATE", "create_revision", 0, "EQUAL"),
            Condition::Present => ("CREATE", "create_revision", 0, "GREATER"),
            Condition::Modified(revision) => ("MOD", "mod_revision", revision, "EQUAL"),
            Condition::Created(revision) => ("CREATE", "create_revision", revision, "EQUAL"),
            Condition::BoundTo(lease) => ("LEASE", "lease", lease.0, "EQUAL"),
        };
        let mut json = Map::new();
        json.insert("key".to_owned(), encode(&self.key).into());
        json.insert("target".to_owned(), target.into());
        json.insert("result".to_owned(), result.into());
        json.insert(field.to_owned(), value.to_string().into());
        json.into()
    }
}

/// A transaction: if all compares hold, one list of operations is done, else the other; all at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// What must hold.
    pub compares: Vec<Compare>,
    /// What is done then. No key may be written twice.
    pub then: Vec<Op>,
    /// What is done otherwise.
    pub otherwise: Vec<Op>,
}

/// What a transaction has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnDone {
    /// Whether all compares held.
    pub held: bool,
    /// The servers' revision; of what it wrote, if it wrote.
    pub revision: i64,
    /// What each operation of the list has done.
    pub done: Vec<OpDone>,
}

impl Txn {
    fn check(&self) -> Result<(), ErrorKind> {
        let lists = [self.compares.len(), self.then.len(), self.otherwise.len()];
        let most = lists.into_iter().max().unwrap_or(0);
        if most > MAX_OPS {
            return Err(ErrorKind::TooMany(most));
        }
        let compares = self.compares.iter().map(|c| OVERHEAD + c.key.len());
        let ops = self.then.iter().chain(&self.otherwise).map(Op::bytes);
        check_size(compares.chain(ops).sum())
    }

    /// Whether it only reads.
    fn only_reads(&self) -> bool {
        let mut ops = self.then.iter().chain(&self.otherwise);
        ops.all(|op| matches!(op, Op::Get(_)))
    }

    fn to_json(&self) -> Value {
        let list = |ops: &[Op]| ops.iter().map(Op::to_json).collect::<Vec<_>>();
        let compares: Vec<Value> = self.compares.iter().map(Compare::to_json).collect();
        json!({ "compare": compares, "success": list(&self.then), "failure": list(&self.otherwise) })
    }
}

fn check_size(bytes: usize) -> Result<(), ErrorKind> {
    if bytes > MAX_REQUEST {
        return Err(ErrorKind::TooLarge {
            bytes,
            limit: MAX_REQUEST,
        });
    }
    Ok(())
}

impl Client {
    /// Reads. What it gives was there after the call was made: the servers agree on it.
    ///
    /// # Errors
    /// [`ErrorKind::Compacted`]; [`ErrorKind::AnswerTooLarge`]; others as for every call.
    pub async fn get(&self, get: Get) -> Result<Got, Error> {
        let call = Call {
            path: "/v3/kv/range",
            body: &get.to_json(),
            again: Again::Yes,
        };
        let got = match check_size(get.range.bytes()) {
            Ok(()) => self.call::<RangeAnswer>(call).await,
            Err(kind) => Err(kind),
        };
        let got = got.map_err(|kind| Error {
            what: format!("read {}", get.range.text()),
            kind,
        })?;
        Ok(Got {
            revision: got.header.revision,
            kvs: got.kvs.into_iter().map(KeyValue::from).collect(),
            more: got.more,
        })
    }

    /// Reads a range of any size, in pages, all as it was at one revision.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn get_all(&self, range: &Range) -> Result<Got, Error> {
        let mut all = self.get(Get::of(range.clone()).limit(PAGE)).await?;
        while all.more
            && let (Some(last), Some(to)) = (all.kvs.last(), &range.to)
        {
            // The least key behind the last one.
            let from = [last.key.as_slice(), &[0]].concat();
            let get = Get::of(Range::between(from, to.clone())).limit(PAGE);
            let page = self.get(get.at(all.revision)).await?;
            all.kvs.extend(page.kvs);
            all.more = page.more;
        }
        Ok(all)
    }

    /// Writes a key, whatever was there; returns the revision.
    ///
    /// # Errors
    /// [`ErrorKind::LeaseNotFound`]; others as for every call.
    pub async fn put(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        lease: Option<LeaseId>,
    ) -> Result<i64, Error> {
        let (key, value) = (key.into(), value.into());
        let call = Call {
            path: "/v3/kv/put",
            body: &put_json(&key, &value, lease),
            again: Again::No,
        };
        let done = match check_size(OVERHEAD + key.len() + value.len()) {
            Ok(()) => self.call::<Done>(call).await,
            Err(kind) => Err(kind),
        };
        let done = done.map_err(|kind| Error {
            what: format!("write {}", String::from_utf8_lossy(&key)),
            kind,
        })?;
        Ok(done.header.revision)
    }

    /// Deletes; returns how many keys there were.
    ///
    /// # Errors
    /// As for every call.
    pub async fn delete(&self, range: &Range) -> Result<u64, Error> {
        let call = Call {
            path: "/v3/kv/deleterange",
            body: &range.to_json().into(),
            again: Again::No,
        };
        let done = match check_size(range.bytes()) {
            Ok(()) => self.call::<DeleteAnswer>(call).await,
            Err(kind) => Err(kind),
        };
        let done = done.map_err(|kind| Error {
            what: format!("delete {}", range.text()),
            kind,
        })?;
        Ok(u64::try_from(done.deleted).unwrap_or(0))
    }

    /// Does a transaction: all at once, or nothing.
    ///
    /// # Errors
    /// [`ErrorKind::TooMany`], [`ErrorKind::TooLarge`]; [`ErrorKind::LeaseNotFound`]; others as for every
    /// call. That a compare does not hold is no error.
    pub async fn txn(&self, txn: &Txn) -> Result<TxnDone, Error> {
        let again = if txn.only_reads() {
            Again::Yes
        } else {
            Again::No
        };
        let call = Call {
            path: "/v3/kv/txn",
            body: &txn.to_json(),
            again,
        };
        let done = match txn.check() {
            Ok(()) => self.call::<TxnAnswer>(call).await,
            Err(kind) => Err(kind),
        };
        done.and_then(|answer| txn_done(txn, answer))
            .map_err(|kind| {
                let first = txn.then.iter().chain(&txn.otherwise).next();
                let of = match first {
                    Some(Op::Get(get)) => get.range.text(),
                    Some(Op::Put { key, .. }) => String::from_utf8_lossy(key).into_owned(),
                    Some(Op::Delete(range)) => range.text(),
                    None => "nothing".to_owned(),
                };
                Error {
                    what: format!("do a transaction with {of}"),
                    kind,
                }
            })
    }
}

fn txn_done(txn: &Txn, answer: TxnAnswer) -> Result<TxnDone, ErrorKind> {
    let list = if answer.succeeded {
        &txn.then
    } else {
        &txn.otherwise
    };
    if list.len() != answer.responses.len() {
        let why = "it does not answer each operation".to_owned();
        return Err(ErrorKind::BadAnswer(why));
    }
    let done = |answer: OpAnswer| match (answer.response_range, answer.response_delete_range) {
        (Some(range), _) => OpDone::Got(range.kvs.into_iter().map(KeyValue::from).collect()),
        (_, Some(gone)) => OpDone::Deleted(u64::try_from(gone.deleted).unwrap_or(0)),
        _ => OpDone::Put,
    };
    Ok(TxnDone {
        held: answer.succeeded,
        revision: answer.header.revision,
        done: answer.responses.into_iter().map(done).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_large_is_refused() {
        let put = |bytes: usize| Txn {
            then: vec![Op::put("k", vec![0; bytes], None)],
            ..Txn::default()
        };
        assert_eq!(put(MAX_REQUEST - 33).check(), Ok(()));
        let refused = put(MAX_REQUEST - 32).check();
        assert!(matches!(refused, Err(ErrorKind::TooLarge { .. })));
        let mut many = Txn {
            otherwise: vec![Op::Get(Get::key("k")); MAX_OPS],
            ..Txn::default()
        };
        assert_eq!(many.check(), Ok(()));
        many.compares = vec![Compare::new("k", Condition::Absent); MAX_OPS + 1];
        assert_eq!(many.check(), Err(ErrorKind::TooMany(MAX_OPS + 1)));
    }

    proptest! {
        #[test]
        fn a_prefix_is_all_that_begins_so(
            prefix in proptest::collection::vec(0xf0..=0xff_u8, 0..4),
            key in proptest::collection::vec(0xf0..=0xff_u8, 1..6),
        ) {
            let range = Range::prefix(prefix.clone());
            let to = range.to.unwrap();
            let is_in = key >= range.from && (to == [0] || key < to);
            prop_assert_eq!(is_in, key.starts_with(&prefix));
        }
    }
}
