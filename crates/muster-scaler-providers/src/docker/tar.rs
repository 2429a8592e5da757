//! An archive with one file, in the format ustar: 512-byte blocks with numbers in octal.

const BLOCK: usize = 512;

/// The longest name of a file.
const LONGEST: usize = 100;

/// Whether a file can be at this path.
pub(super) fn fits(path: &str) -> bool {
    let name = path.strip_prefix('/');
    name.is_some_and(|name| {
        !name.is_empty()
            && name.len() <= LONGEST
            && !name.ends_with('/')
            && name.bytes().all(|byte| byte.is_ascii_graphic())
            && !name
                .split('/')
                .any(|part| part.is_empty() || part == "." || part == "..")
    })
}

/// The archive of a file at an absolute path, with its folders; only root may read the file.
pub(super) fn one_file(path: &str, content: &[u8]) -> Vec<u8> {
    let name = path.trim_start_matches('/');
    let mut out = Vec::new();
    for (at, _) in name.match_indices('/') {
        out.extend(header(&name[..=at], 0o755, 0, b'5'));
    }
    out.extend(header(name, 0o600, content.len(), b'0'));
    out.extend(content);
    // The content fills blocks, and two empty ones are the end.
    let blocks = out.len().div_ceil(BLOCK) + 2;
    out.resize(blocks * BLOCK, 0);
    out
}

fn header(name: &str, mode: u32, size: usize, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        let target = block.iter_mut().skip(at);
        target.zip(bytes).for_each(|(target, byte)| *target = *byte);
    };
    put(0, name.as_bytes().get(..LONGEST).unwrap_or(name.as_bytes()));
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    let sum = format!("{sum:06o}\0 ");
    block
        .iter_mut()
        .skip(148)
        .zip(sum.bytes())
        .for_each(|(target, byte)| *target = byte);
    block
}
