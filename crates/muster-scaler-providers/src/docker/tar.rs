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

/// The archive of a file at an absolute path, which only root may read. Its folders are not in it: those
/// that are there would get another owner and mode, and those that are not are made all the same.
pub(super) fn one_file(path: &str, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(header(path.trim_start_matches('/'), content.len()));
    out.extend(content);
    // The content fills blocks, and two empty ones are the end.
    let blocks = out.len().div_ceil(BLOCK) + 2;
    out.resize(blocks * BLOCK, 0);
    out
}

fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        let target = block.iter_mut().skip(at);
        target.zip(bytes).for_each(|(target, byte)| *target = *byte);
    };
    put(0, name.as_bytes().get(..LONGEST).unwrap_or(name.as_bytes()));
    put(100, b"0000600");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
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
