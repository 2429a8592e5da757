//! One file for each promise.

mod bad_input;
mod cli;
mod crash;
mod disk_buffer;
mod faults;
mod full_disk;
mod leaks;
mod lifecycle;
mod listeners;
mod live_change;
mod output_down;
mod scaler;
mod secrets;
mod sentinel;
mod sentinel_itself;
mod servers;
mod service_manager;
pub(crate) mod support;
mod zookeeper_tls;

/// A file that nobody names is a test that nobody runs.
#[test]
fn no_file_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite");
    let named = include_str!("mod.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "mod") else {
            continue;
        };
        let line = format!("mod {module};");
        assert!(
            named.contains(&line),
            "tests/suite/{name} is not in tests/suite/mod.rs"
        );
    }
}

/// The manifest switches the automatic discovery off: every file here must stand in it.
#[test]
fn no_test_binary_is_forgotten() {
    let manifest = include_str!("../../Cargo.toml");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("path = \"tests/{name}\"");
        assert!(
            !name.ends_with(".rs") || manifest.contains(&path),
            "tests/{name} is not in Cargo.toml"
        );
    }
}
