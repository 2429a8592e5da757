use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use flate2::read::MultiGzDecoder;
use muster_metric::{Batch, Metrics, Timestamp};
use muster_plugin::compliance::{Plugin, Stage};
use muster_plugin::{Kind, Output, WriteError};

use super::ROW;
use super::rotation::{Rotation, archive_path, archive_time, to_delete};

fn build(options: &str) -> Box<dyn Output> {
    let table = toml::from_str(options).unwrap();
    match Stage::build(&ROW, &table) {
        Ok(Plugin::Output(output)) => output,
        Ok(_) => panic!("not an output"),
        Err(errors) => panic!("{errors:?}"),
    }
}

fn metrics(value: i64) -> Metrics {
    let mut batch = Batch::new();
    batch
        .metric("m")
        .field("v", value)
        .at(Timestamp::from_seconds(1));
    batch.into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Writes these values one by one to an output with these options, and ends.
async fn write_all(options: &str, values: &[i64]) -> Vec<Result<(), WriteError>> {
    let stage = Stage::new(Kind::Output);
    let mut output = build(options);
    output.start(&stage.start_context()).await.unwrap();
    let mut results = Vec::new();
    for value in values {
        results.push(stage.write(&mut *output, &metrics(*value)).await);
    }
    assert!(stage.end().await.is_clean());
    results
}

#[muster_tasks::test]
async fn appends_to_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let options = format!("files = ['{}', '{}']", a.display(), b.display());
    write_all(&options, &[1]).await;
    write_all(&options, &[2]).await;
    let want = "m v=1i 1000000000\nm v=2i 1000000000\n";
    assert_eq!((read(&a), read(&b)), (want.to_owned(), want.to_owned()));
}

#[muster_tasks::test]
async fn puts_aside_by_size_and_keeps_so_many() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics.out");
    let options = format!(
        "files = ['{}']\nrotation_max_size = 40\nrotation_max_archives = 2",
        file.display()
    );
    // Two lines of 18 bytes fit.
    for result in write_all(&options, &[1, 2, 3, 4, 5, 6, 7]).await {
        result.unwrap();
    }
    assert_eq!(read(&file), "m v=7i 1000000000\n");
    let names = names(folder.path());
    assert_eq!(names.len(), 3, "{names:?}");
    let mut archives: Vec<_> = names
        .iter()
        .filter_map(|name| {
            Some((
                archive_time(&file, name.as_ref())?,
                folder.path().join(name),
            ))
        })
        .collect();
    archives.sort();
    let kept: String = archives.iter().map(|(_, path)| read(path)).collect();
    let line = |v| format!("m v={v}i 1000000000\n");
    assert_eq!(kept, [3, 4, 5, 6].map(line).concat());
}

#[muster_tasks::test]
async fn follows_a_file_that_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let (file, moved) = (folder.path().join("f"), folder.path().join("moved"));
    let stage = Stage::new(Kind::Output);
    let mut output = build(&format!("files = ['{}']", file.display()));
    output.start(&stage.start_context()).await.unwrap();
    stage.write(&mut *output, &metrics(1)).await.unwrap();
    fs::rename(&file, &moved).unwrap();
    stage.write(&mut *output, &metrics(2)).await.unwrap();
    fs::remove_file(&file).unwrap();
    stage.write(&mut *output, &metrics(3)).await.unwrap();
    assert_eq!(read(&moved), "m v=1i 1000000000\n");
    assert_eq!(read(&file), "m v=3i 1000000000\n");
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn packs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metrics.gz");
    let options = format!(
        "files = ['{}']\ncompression_algorithm = 'gzip'",
        file.display()
    );
    write_all(&options, &[1, 2]).await;
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(&file).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "m v=1i 1000000000\nm v=2i 1000000000\n");
}

#[muster_tasks::test]
async fn what_fails_may_be_tried_again() {
    let results = write_all("files = ['/dev/full']", &[1]).await;
    assert!(
        matches!(results[..], [Err(WriteError::Retry(_))]),
        "{results:?}"
    );
    let stage = Stage::new(Kind::Output);
    let mut output = build("files = ['/no/such/folder/f']");
    let error = output
        .start(&stage.start_context())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("open /no/such/folder/f: "), "{error}");
    assert!(stage.end().await.is_clean());
}

#[test]
fn decides_when_a_file_is_put_aside() {
    let rules = |interval, max_size| Rotation {
        interval: Duration::from_secs(interval),
        max_size,
        max_archives: None,
    };
    let check = |rules: Rotation, size, age, more, want| {
        let now = SystemTime::now();
        let since = now - Duration::from_secs(age);
        assert_eq!(
            rules.is_due(size, since, more, now),
            want,
            "{rules:?} {size} {age} {more}"
        );
    };
    check(rules(0, 0), 1 << 40, 1 << 20, 1 << 20, false);
    check(rules(0, 100), 90, 0, 10, false);
    check(rules(0, 100), 90, 0, 11, true);
    check(rules(0, 100), 0, 0, 1000, false);
    check(rules(60, 0), 1, 59, 1, false);
    check(rules(60, 0), 1, 60, 1, true);
    check(rules(60, 0), 0, 60, 1, false);
}

#[test]
fn names_archives_and_knows_them_again() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let check = |file: &str, number, want: &str| {
        let file = Path::new(file);
        let archive = archive_path(file, now, number);
        assert_eq!(archive.to_str(), Some(want));
        let name = archive.file_name().unwrap();
        assert_eq!(archive_time(file, name), Some((1_700_000_000, number)));
    };
    check(
        "/tmp/metrics.out",
        0,
        "/tmp/metrics.2023-11-14-1700000000.out",
    );
    check(
        "/tmp/metrics.out",
        2,
        "/tmp/metrics.2023-11-14-1700000000-2.out",
    );
    check("metrics", 0, "metrics.2023-11-14-1700000000");
    for other in [
        "metrics.out",
        "metrics.old.out",
        "metrics.2023-11-14.out",
        "x.2023-11-14-1.out",
    ] {
        assert_eq!(
            archive_time(Path::new("metrics.out"), other.as_ref()),
            None,
            "{other}"
        );
    }
}

#[test]
fn the_oldest_archives_go() {
    let archives = [((5, 0), "e"), ((3, 1), "d"), ((3, 0), "c"), ((1, 0), "a")];
    let archives = archives.map(|(time, path)| (time, path.into())).to_vec();
    let gone = to_delete(archives.clone(), 2);
    assert_eq!(gone, [Path::new("a"), Path::new("c")]);
    assert!(to_delete(archives, 4).is_empty());
}
