//! What holds for any input at all. The fuzz targets call these functions, too.

use muster_metric::line_protocol::{OnError, ParseError, Parser, Writer};
use muster_metric::{Batch, Metric};

fn parse(parser: &Parser, input: &[u8], batch: &mut Batch) -> (usize, u64) {
    let report = parser
        .parse(input, batch)
        .expect("only bad lines, which are skipped");
    (report.metrics, report.bad_lines)
}

fn same(a: Metric<'_>, b: Metric<'_>) -> bool {
    a.name() == b.name()
        && a.tags().eq(b.tags())
        && a.fields().eq(b.fields())
        && a.time() == b.time()
}

fn assert_same(a: &Batch, b: &Batch) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b.iter()) {
        assert!(same(a, b), "{a:?} is not {b:?}");
    }
}

/// Whatever is parsed is well formed, failing leaves no trace, and writing what was parsed gives
/// lines that parse.
pub(crate) fn parsing_and_writing(input: &[u8]) {
    let parser = Parser::default();
    let mut batch = Batch::new();
    let (metrics, bad_lines) = parse(&parser, input, &mut batch);
    assert_eq!(metrics, batch.len());
    for metric in batch.iter() {
        assert!(!metric.name().is_empty());
        assert!(metric.fields().len() > 0);
        let keys: Vec<_> = metric.tags().map(|tag| tag.0).collect();
        assert!(
            keys.is_sorted_by(|a, b| a < b),
            "tags are sorted and each is there once"
        );
        assert!(
            metric
                .tags()
                .all(|(key, value)| !key.is_empty() && !value.is_empty())
        );
        let mut keys: Vec<_> = metric.fields().map(|field| field.0).collect();
        keys.sort_unstable();
        assert!(keys.is_sorted_by(|a, b| a < b), "each field is there once");
    }

    let strict = Parser {
        on_error: OnError::Fail,
        ..parser.clone()
    };
    let before = batch.clone();
    match strict.parse(input, &mut batch) {
        Ok(report) => assert_eq!((report.metrics, bad_lines), (metrics, 0)),
        Err(ParseError::BadLine(problem)) => {
            assert!(bad_lines > 0);
            assert!(problem.line >= 1 && problem.column >= 1 && problem.excerpt.len() <= 240);
            assert_same(&batch, &before);
        }
        Err(error) => panic!("{error}"),
    }

    let mut lines = Vec::new();
    let written = Writer::default().write_all(before.iter(), &mut lines);
    let mut again = Batch::new();
    let (metrics, bad_lines) = parse(&parser, &lines, &mut again);
    assert_eq!(
        (metrics, bad_lines),
        (written.metrics, 0),
        "{}",
        lines.escape_ascii()
    );
}

/// Cutting a stream into pieces, none of them empty, changes nothing, whatever their lengths and
/// the limit are.
pub(crate) fn cutting(input: &[u8], pieces: &[usize], max_line_bytes: usize) {
    let parser = Parser {
        max_line_bytes,
        ..Parser::default()
    };
    let mut whole = Batch::new();
    let of_whole = parse(&parser, input, &mut whole);

    let (mut batch, mut of_pieces) = (Batch::new(), (0, 0));
    let mut take = |bytes: &[u8]| {
        let (metrics, bad_lines) = parse(&parser, bytes, &mut batch);
        of_pieces = (of_pieces.0 + metrics, of_pieces.1 + bad_lines);
    };
    let (mut start, mut end) = (0, 0);
    for &piece in pieces.iter().cycle() {
        if end == input.len() {
            break;
        }
        end = input.len().min(end + piece);
        let complete = parser.complete_len(&input[start..end]);
        assert!(complete == 0 || input[start + complete - 1] == b'\n');
        take(&input[start..start + complete]);
        start += complete;
    }
    take(&input[start..]);
    assert_eq!(of_pieces, of_whole);
    assert_same(&batch, &whole);
}
