use std::fs;

use super::ROW;
use crate::testing::gather;

#[muster_tasks::test]
async fn reads_all_that_matches_and_tags_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    fs::write(folder.path().join("a.in"), "m v=1\n").unwrap();
    fs::write(folder.path().join("b.in"), "m v=2").unwrap();
    let options = format!("files = ['{root}/*.in']\nfile_tag = 'file'\nfile_path_tag = 'path'");
    let (metrics, errors) = gather(&ROW, &options).await;
    let want = [
        format!("m file=a.in path={root}/a.in v=1"),
        format!("m file=b.in path={root}/b.in v=2"),
    ];
    assert_eq!((metrics, errors), (want.to_vec(), vec![]));
}

#[muster_tasks::test]
async fn what_cannot_be_read_does_not_keep_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display();
    fs::write(folder.path().join("good"), "m v=1\n").unwrap();
    fs::write(folder.path().join("bad"), "m\n").unwrap();
    fs::write(folder.path().join("large"), "x".repeat(2000)).unwrap();
    let files = ["good", "bad", "none", "large", "*.x"]
        .map(|f| format!("'{root}/{f}'"))
        .join(", ");
    let (metrics, errors) = gather(&ROW, &format!("files = [{files}]\nmax_size = 1000")).await;
    assert_eq!(metrics, ["m v=1"]);
    let about = |name: &str| {
        errors
            .iter()
            .filter(|e| e.contains(&format!("{root}/{name}")))
            .count()
    };
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert_eq!(
        ["none", "bad", "large", "*.x"].map(about),
        [1; 4],
        "{errors:?}"
    );
}

#[muster_tasks::test]
async fn nothing_at_all_is_a_failure() {
    let (metrics, errors) = gather(&ROW, "files = ['/no/such/file']").await;
    assert!(metrics.is_empty());
    assert!(errors[0].starts_with("find /no/such/file: "), "{errors:?}");
}

#[muster_tasks::test]
async fn reads_utf_16() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide");
    let bytes: Vec<u8> = "\u{feff}m v=\"ü\"\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    fs::write(&path, bytes).unwrap();
    let options = format!(
        "files = ['{}']\ncharacter_encoding = 'utf-16le'",
        path.display()
    );
    let (metrics, errors) = gather(&ROW, &options).await;
    assert_eq!((metrics, errors), (vec!["m v=\"ü\"".to_owned()], vec![]));
}
