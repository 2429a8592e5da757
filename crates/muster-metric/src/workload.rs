//! Realistic line protocol for benchmarks: the same text on every run.

use std::fmt::Write;

/// What a mixed set of a host's inputs sends: `lines` lines of cpu, mem, net, disk, system and
/// container metrics with 2 to 6 tags and 3 to 10 fields, floats, integers and a few strings, all
/// with a timestamp. About 250 bytes a line.
pub fn host_lines(lines: usize) -> String {
    let mut text = String::with_capacity(lines * 256);
    let mut numbers = Numbers(0x853c_49e6_748f_ea9b);
    for line in 0..lines {
        let host = line / 60 % 40;
        let time = 1_700_000_000_000_000_000 + (line / 60) as u64 * 10_000_000_000;
        // Writing to a string cannot fail.
        let _ = match line % 6 {
            0 | 1 => cpu(&mut text, host, line % 17, &mut numbers),
            2 => mem(&mut text, host, &mut numbers),
            3 => net(&mut text, host, line % 3, &mut numbers),
            4 => disk(&mut text, host, line % 4, &mut numbers),
            _ => container(&mut text, host, line % 23, &mut numbers),
        };
        let _ = writeln!(text, " {time}");
    }
    text
}

/// What a service says of its requests: three tags, three fields (two integers, a float), a
/// timestamp. About 120 bytes a line.
pub fn request_lines(lines: usize) -> String {
    let mut text = String::with_capacity(lines * 128);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for line in 0..lines {
        let time = 1_700_000_000_000_000_000 + line as u64 * 1_000_000;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "http,dc=eu-west-1,host=web{:02},service=checkout count={}i,errors={}i,mean_ms={} {time}",
            line % 40,
            numbers.below(100_000),
            numbers.below(20),
            numbers.short(),
        );
    }
    text
}

/// The shortest useful lines: one tag, one integer field, a timestamp. About 50 bytes a line.
pub fn one_field_lines(lines: usize) -> String {
    let mut text = String::with_capacity(lines * 56);
    let mut numbers = Numbers(0xda94_2042_e4dd_58b5);
    for line in 0..lines {
        let value = numbers.below(100_000);
        let time = 1_700_000_000_000_000_000 + line as u64 * 1_000_000;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "requests,host=web{:02} count={value}i {time}",
            line % 40
        );
    }
    text
}

/// A small generator of repeatable numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % bound
    }

    /// A percentage as a division of counters makes it: 15 or so digits.
    fn percent(&mut self) -> f64 {
        self.below(100_000) as f64 * 100.0 / (100_000 + self.below(1000)) as f64
    }

    /// A number with two decimals.
    fn short(&mut self) -> f64 {
        self.below(10_000) as f64 / 100.0
    }
}

fn cpu(text: &mut String, host: usize, cpu: usize, n: &mut Numbers) -> std::fmt::Result {
    write!(text, "cpu,cpu=cpu{cpu},dc=eu-west-1,host=web{host:02} ")?;
    let zero = n.below(3);
    for (at, key) in ["guest", "iowait", "irq", "nice", "softirq", "steal"]
        .iter()
        .enumerate()
    {
        let value = if at as u64 % 3 == zero {
            n.percent()
        } else {
            0.0
        };
        write!(text, "usage_{key}={value},")?;
    }
    let (idle, user, system) = (n.percent(), n.percent(), n.percent());
    write!(
        text,
        "usage_idle={idle},usage_user={user},usage_system={system}"
    )
}

fn mem(text: &mut String, host: usize, n: &mut Numbers) -> std::fmt::Result {
    write!(text, "mem,dc=eu-west-1,host=web{host:02} ")?;
    for key in [
        "active",
        "available",
        "buffered",
        "cached",
        "free",
        "inactive",
        "total",
        "used",
    ] {
        write!(text, "{key}={}i,", n.below(64 << 20) * 1024)?;
    }
    write!(
        text,
        "available_percent={},used_percent={}",
        n.percent(),
        n.percent()
    )
}

fn net(text: &mut String, host: usize, port: usize, n: &mut Numbers) -> std::fmt::Result {
    write!(
        text,
        "net,dc=eu-west-1,host=web{host:02},interface=eth{port},rack=r{} ",
        host % 8
    )?;
    let (received, sent) = (n.below(1 << 40), n.below(1 << 40));
    write!(
        text,
        "bytes_recv={received}i,bytes_sent={sent}i,drop_in=0i,drop_out=0i,"
    )?;
    write!(text, "err_in={}i,err_out=0i,", n.below(10))?;
    write!(
        text,
        "packets_recv={}i,packets_sent={}i",
        received / 800,
        sent / 700
    )
}

fn disk(text: &mut String, host: usize, disk: usize, n: &mut Numbers) -> std::fmt::Result {
    let path = ["/", "/var", "/home", "/srv/My\\ Data"][disk];
    write!(
        text,
        "disk,dc=eu-west-1,device=sda{disk},fstype=ext4,host=web{host:02},"
    )?;
    write!(text, "mode=rw,path={path} ")?;
    let (total, free) = (n.below(1 << 40), n.below(1 << 39));
    write!(
        text,
        "free={free}i,inodes_free={}i,total={total}i,",
        n.below(1 << 25)
    )?;
    write!(text, "used_percent={}", n.percent())
}

fn container(text: &mut String, host: usize, id: usize, n: &mut Numbers) -> std::fmt::Result {
    write!(
        text,
        "docker_container,container_image=registry/app,container_name=app-{id},"
    )?;
    write!(text, "host=web{host:02},server_version=24.0.7 ")?;
    write!(text, "cpu={},healthy=true,load1={},", n.short(), n.short())?;
    write!(
        text,
        "restarts={}i,status=\"running, since {} h\"",
        n.below(9),
        n.below(900)
    )
}
