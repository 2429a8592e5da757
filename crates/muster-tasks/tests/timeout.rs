//! `timeout` ends the work itself.

use std::time::Duration;

use muster_tasks::{Group, timeout};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

#[muster_tasks::test]
async fn a_timeout_leaves_nothing(root: Group) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = root
        .spawn("client", async move {
            let work = async {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.read_u8().await.unwrap()
            };
            timeout(Duration::from_millis(20), work).await
        })
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let error = client.join().await.done().unwrap().unwrap_err();
    assert_eq!(error.after, Duration::from_millis(20));
    // The connection is closed at once: the work did not go on in the background.
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
}

#[muster_tasks::test(start_paused = true)]
async fn a_value_in_time_is_passed_on() {
    let work = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        4
    };
    assert_eq!(timeout(Duration::from_secs(2), work).await, Ok(4));
}
