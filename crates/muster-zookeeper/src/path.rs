//! Paths of nodes.

/// The longest path, its root included, in bytes.
pub(crate) const MAX_PATH: usize = 4096;

/// Whether this is the path of a node, and why not. The rules are ZooKeeper's own.
pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("a path begins with a slash");
    };
    if rest.is_empty() {
        return Ok(());
    }
    if path.len() > MAX_PATH {
        return Err("a path has at most 4096 bytes");
    }
    for name in rest.split('/') {
        match name {
            "" => return Err("there is an empty name in it"),
            "." | ".." => return Err("relative names are not allowed in it"),
            _ => {}
        }
    }
    if path.chars().any(is_unsupported) {
        return Err("there is an unsupported character in it");
    }
    Ok(())
}

fn is_unsupported(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
}

/// The path of the node above; `None` for `/` and those directly below it.
pub(crate) fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        None | Some(0) => None,
        Some(at) => Some(&path[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_path() {
        for good in ["/", "/a", "/a/b.c/..d", "/127.0.0.1:6379", "/a b", "/日本"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/a/../b",
            "/a\0",
            "/a\n",
            "/\u{fff1}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&format!("/{}", "x".repeat(MAX_PATH))).is_err());
    }

    #[test]
    fn parents() {
        assert_eq!(parent("/a/b/c"), Some("/a/b"));
        assert_eq!(parent("/a"), None);
        assert_eq!(parent("/"), None);
    }
}
