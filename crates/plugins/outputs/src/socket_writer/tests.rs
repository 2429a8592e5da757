use muster_metric::{Batch, Metrics, Timestamp};
use muster_plugin::compliance::{Plugin, Stage};
use muster_plugin::{Kind, Output, WriteError};
use muster_tasks::Group;
use tokio::io::AsyncReadExt;

use super::ROW;

const LINES: &str = "m v=1i 1000000000\nm v=2i 2000000000\n";

fn metrics() -> Metrics {
    let mut batch = Batch::new();
    for n in 1..3 {
        batch
            .metric("m")
            .field("v", n)
            .at(Timestamp::from_seconds(n));
    }
    batch.into()
}

async fn output(stage: &Stage, address: &str, more: &str) -> Box<dyn Output> {
    let options = toml::from_str(&format!("address = '{address}'\n{more}")).unwrap();
    let Plugin::Output(mut output) = Stage::build(&ROW, &options).unwrap() else {
        panic!()
    };
    output.start(&stage.start_context()).await.unwrap();
    output
}

#[muster_tasks::test]
async fn writes_a_stream_and_connects_again(_group: Group) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::new(Kind::Output);
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let mut output = output(&stage, &address, "keep_alive_period = '5m'").await;
    for _ in 0..2 {
        stage.write(&mut *output, &metrics()).await.unwrap();
        stage.write(&mut *output, &metrics()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = vec![0; LINES.len() * 2];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), LINES.repeat(2));
        // The stream is closed here: the next write sees that and connects again.
    }
    drop(listener);
    let mut failed = false;
    while !failed {
        failed = matches!(
            stage.write(&mut *output, &metrics()).await,
            Err(WriteError::Retry(_))
        );
    }
    stage.close(&mut *output).await.unwrap();
    drop(output);
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn writes_compressed_to_a_unix_socket(_group: Group) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let stage = Stage::new(Kind::Output);
    let address = format!("unix://{}", path.display());
    let mut output = output(&stage, &address, "content_encoding = 'gzip'").await;
    stage.write(&mut *output, &metrics()).await.unwrap();
    stage.close(&mut *output).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    let plain = muster_net::Encoding::Gzip.decode(got, 1000).unwrap();
    assert_eq!(String::from_utf8(plain).unwrap(), LINES);
    drop(output);
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn sends_each_metric_in_a_datagram(_group: Group) {
    let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::new(Kind::Output);
    let address = format!("udp://{}", receiver.local_addr().unwrap());
    let mut output = output(&stage, &address, "").await;
    stage.write(&mut *output, &metrics()).await.unwrap();
    let mut buffer = [0; 100];
    for line in LINES.split_inclusive('\n') {
        let length = receiver.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], line.as_bytes());
    }
    let mut batch = Batch::new();
    batch.metric("m").field("v", &"x".repeat(70_000)).untimed();
    let error = stage.write(&mut *output, &batch.into()).await.unwrap_err();
    assert!(matches!(error, WriteError::Partial { rejected, .. } if rejected == [0]));
    drop(output);
    assert!(stage.end().await.is_clean());
}
