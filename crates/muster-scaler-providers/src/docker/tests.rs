use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use muster_tasks::Group;

use super::tar;
use crate::testing::{DockerWorld, World, conformance};

#[muster_tasks::test]
async fn passes_the_suite(root: Group) {
    conformance::conformance(&DockerWorld::new(&root)).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn hands_the_user_data_over_as_a_file(root: Group) {
    let world = DockerWorld::new(&root);
    let spec = conformance::spec("m-data");
    world.provider().create(&spec).await;
    let archive = world.archive("m-data");
    let content = String::from_utf8_lossy(&archive).into_owned();
    assert!(content.contains(spec.user_data.expose()), "{content}");
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn keeps_its_bound(root: Group) {
    let world = DockerWorld::new(&root);
    let provider = world.with("max_containers", 1);
    conformance::keeps_a_bound_of_one(&*provider).await;
    assert_eq!(world.servers().await.len(), 1);
    assert!(root.stop().await.is_clean());
}

/// Also a program that takes the rights of what it unpacks as they are leaves those of the folders.
#[test]
fn others_can_read_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::set_permissions(&etc, Permissions::from_mode(0o1777)).unwrap();
    let archive = tar::one_file("/etc/muster/user-data", b"#cloud-config\n");
    assert_eq!(archive.len() % 512, 0);
    let mut child = Command::new("tar")
        .args(["--same-permissions", "-xvf", "-", "-C"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&archive).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "etc/muster/user-data\n"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let file = etc.join("muster/user-data");
    assert_eq!((mode(&etc), mode(&file)), (0o1777, 0o600));
    assert_eq!(fs::read_to_string(file).unwrap(), "#cloud-config\n");
}

#[test]
fn knows_which_paths_fit() {
    for path in ["/user-data", "/etc/muster/user-data"] {
        assert!(tar::fits(path), "{path}");
    }
    for path in [
        "",
        "/",
        "user-data",
        "/etc/",
        "/etc/../x",
        "/a//b",
        &format!("/{}", "x".repeat(101)),
    ] {
        assert!(!tar::fits(path), "{path}");
    }
}
