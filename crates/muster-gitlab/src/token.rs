//! Where the token comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use muster_options::Secret;
use parking_lot::Mutex;

use crate::Error;

/// The longest file of a token.
const LONGEST: u64 = 64 << 10;

/// An access token, given as such or in a file that is read anew when its time or size changes.
#[derive(Debug)]
pub struct TokenSource {
    given: Secret,
    file: Option<PathBuf>,
    read: Mutex<Option<(Stamp, Secret)>>,
}

type Stamp = (Option<SystemTime>, u64);

impl TokenSource {
    /// This token.
    pub fn given(token: Secret) -> Self {
        Self {
            given: token,
            file: None,
            read: Mutex::default(),
        }
    }

    /// The token in that file, without the white space around it. The file is looked at for each
    /// request, in the caller's task: it belongs on a local disk.
    pub fn file(path: &Path) -> Self {
        Self {
            given: Secret::default(),
            file: Some(path.to_owned()),
            read: Mutex::default(),
        }
    }

    /// The token as of now.
    ///
    /// # Errors
    /// If there is none, or the file cannot be read.
    pub fn token(&self) -> Result<Secret, Error> {
        let Some(path) = &self.file else {
            if self.given.is_empty() {
                let why = "neither `token` nor `token_file` is set";
                return Err(Error::NoToken(why.to_owned()));
            }
            return Ok(self.given.clone());
        };
        let failed = |why: String| Error::NoToken(format!("{}: {why}", path.display()));
        let meta = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
        let stamp = (meta.modified().ok(), meta.len());
        let mut read = self.read.lock();
        if let Some((of, token)) = &*read
            && *of == stamp
        {
            return Ok(token.clone());
        }
        if meta.len() > LONGEST {
            return Err(failed(format!("longer than {LONGEST} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let text = text.trim();
        if text.is_empty() {
            return Err(failed("the file is empty".to_owned()));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(failed("the file holds more than a token".to_owned()));
        }
        let token = Secret::new(text);
        *read = Some((stamp, token.clone()));
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let source = TokenSource::file(&path);
        assert!(matches!(source.token(), Err(Error::NoToken(_))));
        fs::write(&path, "glpat-one\n").unwrap();
        assert_eq!(source.token().unwrap().expose(), "glpat-one");
        fs::write(&path, "glpat-second\n").unwrap();
        assert_eq!(source.token().unwrap().expose(), "glpat-second");
        fs::write(&path, " \n").unwrap();
        assert!(source.token().is_err());
        fs::write(&path, "two words\n").unwrap();
        let error = source.token().unwrap_err().to_string();
        assert!(error.contains("more than a token"), "{error}");
        assert!(!format!("{source:?}").contains("glpat"));
    }

    #[test]
    fn no_token_says_where_one_goes() {
        let error = TokenSource::given(Secret::default()).token().unwrap_err();
        assert!(error.to_string().contains("token_file"), "{error}");
    }
}
