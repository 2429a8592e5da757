//! Every output of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_net::testing::{FakeHttp, Silent, answer};
use muster_plugin::compliance::{Case, check_table};
use muster_plugins_outputs::PLUGINS;
use muster_tasks::Group;

#[muster_tasks::test]
async fn every_plugin_complies(group: Group) {
    let server = FakeHttp::start(&group, |_| answer(204, "")).await;
    let silent = Silent::start(&group).await;
    let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sink = receiver.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (plain, packed) = (path("metrics.out"), path("metrics.gz"));
    let cases = [
        Case::new("discard", ""),
        Case::new("exec", "command = ['sh', '-c', 'cat >/dev/null']"),
        Case::new("exec", "command = ['false']\nuse_batch_format = false").offline(),
        Case::new("execd", "command = ['cat']\nrestart_delay = '0s'"),
        Case::new(
            "file",
            &format!("files = ['{plain}']\nrotation_max_size = '1KiB'"),
        ),
        Case::new(
            "file",
            &format!("files = ['{packed}']\ncompression_algorithm = 'gzip'"),
        ),
        Case::new("file", "files = ['/dev/full']").offline(),
        Case::new("health", "service_address = 'http://127.0.0.1:0'"),
        Case::new("prometheus_client", "listen = '127.0.0.1:0'"),
        Case::new("http", &format!("url = '{}'", server.url())),
        Case::new("http", "url = 'http://127.0.0.1:1'").offline(),
        Case::new("influxdb", &format!("urls = ['{}']", server.url())),
        Case::new("influxdb", "urls = ['http://127.0.0.1:1']").offline(),
        Case::new("influxdb_v2", &format!("urls = ['{}']", server.url())),
        Case::new("influxdb_v2", "urls = ['http://127.0.0.1:1']").offline(),
        Case::new(
            "socket_writer",
            &format!("address = 'tcp://{}'", silent.address()),
        ),
        Case::new("socket_writer", &format!("address = 'udp://{sink}'")),
        Case::new("socket_writer", "address = 'tcp://127.0.0.1:1'").offline(),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
    assert!(group.stop().await.is_clean());
}
