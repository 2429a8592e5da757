//! Asks a lazy server, and does not wait for ever. See the README.

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use impatient_client::load;
use muster_tasks::Group;

const CLIENTS: usize = 4;
const REQUESTS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(2);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => SocketAddr::from(([127, 0, 0, 1], 8006)),
    };
    let root = Group::root("impatient-client");
    let begin = Instant::now();
    let tell = move |answer: &Result<_, _>| match answer {
        Ok(_) => println!("{:>6.1?}  answered", begin.elapsed()),
        Err(error) => println!("{:>6.1?}  {error}", begin.elapsed()),
    };
    let tally = load(&root, address, CLIENTS, REQUESTS, DEADLINE, tell).await?;
    println!("{tally:?}");
    println!("{}", root.stop().await);
    Ok(())
}
