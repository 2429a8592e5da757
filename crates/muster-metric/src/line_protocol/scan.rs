//! Finding the bytes that structure a line.

/// Finds structural bytes, one after the other: comma, equals sign, backslash, space and all
/// control characters.
///
/// The input is classified in blocks of 64 bytes into a bit mask, which compilers turn into
/// vector code; a token's end is then found with a bit count instead of a branch for each byte.
pub(super) struct Scanner<'a> {
    input: &'a [u8],
    /// Where the block begins that `mask` is of.
    block: usize,
    /// The structural bytes of the block that were not returned yet.
    mask: u64,
}

const BLOCK: usize = 64;

impl<'a> Scanner<'a> {
    /// A scanner that returns the first structural byte of `input` first.
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            block: 0,
            mask: classify(input, 0),
        }
    }

    /// The next structural byte; the input's length, again and again, if there is none left.
    #[inline(always)]
    pub(super) fn next(&mut self) -> usize {
        if self.mask == 0 {
            self.advance();
        }
        let at = self.block + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask.wrapping_sub(1);
        // The last block is padded with structural bytes.
        at.min(self.input.len())
    }

    /// Makes the first structural byte at or after `from` the next one.
    #[inline]
    pub(super) fn seek(&mut self, from: usize) {
        let block = from & !(BLOCK - 1);
        self.block = block;
        self.mask = classify(self.input, block) & (u64::MAX << (from % BLOCK));
    }

    /// Goes to the next block in which something is left.
    #[inline(never)]
    fn advance(&mut self) {
        while self.mask == 0 {
            self.block += BLOCK;
            self.mask = classify(self.input, self.block);
        }
    }
}

/// The mask of a block; bytes after the input's end count as structural.
#[inline]
fn classify(input: &[u8], block: usize) -> u64 {
    let rest = input.get(block..).unwrap_or_default();
    match rest.first_chunk::<BLOCK>() {
        Some(bytes) => mask_of(bytes),
        None => {
            let mut padded = [b'\n'; BLOCK];
            padded[..rest.len()].copy_from_slice(rest);
            mask_of(&padded)
        }
    }
}

/// One bit for each byte, the first byte lowest: set if the byte is structural.
#[inline]
fn mask_of(bytes: &[u8; BLOCK]) -> u64 {
    let mut flags = [0_u8; BLOCK];
    for (flag, &byte) in flags.iter_mut().zip(bytes) {
        *flag = u8::from(byte <= b' ')
            | u8::from(byte == b',')
            | u8::from(byte == b'=')
            | u8::from(byte == b'\\');
    }
    let (words, _) = flags.as_chunks::<8>();
    words.iter().rev().fold(0, |mask, &word| {
        // Eight bytes of 0 or 1: the product moves each lowest bit into the top byte, in order.
        let bits = u64::from_le_bytes(word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        (mask << 8) | bits
    })
}

/// Whitespace between the parts of a line.
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

/// The first eight bytes of `input[start..end]` as a number that sorts as they do; shorter ones
/// are filled with zeros.
#[inline]
pub(super) fn head(input: &[u8], start: usize, end: usize) -> u64 {
    let len = (end - start).min(8);
    if len == 0 {
        return 0;
    }
    let word = match input[start..].first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..len].copy_from_slice(&input[start..start + len]);
            u64::from_be_bytes(bytes)
        }
    };
    word & (u64::MAX << (64 - 8 * len))
}

/// The last eight bytes of `input[start..end]` as a number; equal ends give equal numbers.
#[inline]
pub(super) fn tail(input: &[u8], start: usize, end: usize) -> u64 {
    let len = (end - start).min(8);
    if len == 0 {
        return 0;
    }
    let word = match input[..end].last_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[8 - len..].copy_from_slice(&input[end - len..end]);
            u64::from_le_bytes(bytes)
        }
    };
    word >> (64 - 8 * len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        let structural = |byte: u8| byte <= b' ' || matches!(byte, b',' | b'=' | b'\\');
        for len in [0, 1, 63, 64, 65, 127, 128, 200] {
            for stride in [1, 3, 7, 64, 500] {
                let input: Vec<u8> = (0..len)
                    .map(|at| {
                        if at % stride == stride - 1 {
                            at as u8
                        } else {
                            b'x'
                        }
                    })
                    .collect();
                let places = (0..len).filter(|&at| structural(input[at]));
                let mut scanner = Scanner::new(&input);
                for want in places.chain([len, len, len]) {
                    assert_eq!(scanner.next(), want, "{len} {stride}");
                }
                for from in 0..=len {
                    let want = (from..len).find(|&at| structural(input[at])).unwrap_or(len);
                    scanner.seek(from);
                    assert_eq!(scanner.next(), want, "{len} {stride} {from}");
                }
            }
        }
    }

    #[test]
    fn heads_sort_and_tails_tell_apart() {
        let check = |text: &str, at: usize| {
            let (bytes, end) = (text.as_bytes(), at + 3);
            assert_eq!(head(bytes, at, end).to_be_bytes()[..3], bytes[at..end]);
            assert_eq!(tail(bytes, at, end).to_le_bytes()[..3], bytes[at..end]);
        };
        check("abc", 0);
        check("..abc", 2);
        check("........abc.........", 8);
        assert!(head(b"ab", 0, 2) < head(b"abc", 0, 3));
        assert_eq!(head(b"x", 0, 0), 0);
    }
}
