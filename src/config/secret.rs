use std::{env, ffi::OsString, fs, os::unix::ffi::OsStringExt, path::PathBuf};

/// Where a secret value is read from. The value itself never stands in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `file:…`, resolved against the configuration file.
    File(PathBuf),
    /// `env:…`
    Environment(String),
}

/// A secret that cannot be read; what it is stays untold.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSecret {
    /// There is no such file, or we may not read it.
    #[error("`{}` cannot be read: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is no such variable.
    #[error("the environment variable `{0}` is not set")]
    Environment(String),
    /// There is nothing in it but white space: whoever was to put a secret there did not.
    #[error("{0} is empty")]
    Empty(String),
}

impl SecretSource {
    /// Reads the secret, which is not empty. A line break at its end is the editor's and no part of it.
    pub fn read(&self) -> Result<Vec<u8>, UnreadableSecret> {
        let (place, mut secret) = match self {
            Self::File(path) => {
                let read = fs::read(path).map_err(|error| UnreadableSecret::File { path: path.clone(), error })?;
                (format!("`{}`", path.display()), read)
            }
            Self::Environment(name) => {
                let value = env::var_os(name).ok_or_else(|| UnreadableSecret::Environment(name.clone()))?;
                (format!("the environment variable `{name}`"), OsString::into_vec(value))
            }
        };
        for end in [b'\n', b'\r'] {
            if secret.last() == Some(&end) {
                secret.pop();
            }
        }
        if secret.trim_ascii().is_empty() {
            return Err(UnreadableSecret::Empty(place));
        }
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_ends_before_the_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (written, expected) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            (" secret ", " secret "),
        ] {
            fs::write(&path, written).unwrap();
            assert_eq!(SecretSource::File(path.clone()).read().unwrap(), expected.as_bytes(), "{written:?}");
        }
        for written in ["", "\n", "\r\n", " \t\n"] {
            fs::write(&path, written).unwrap();
            let empty = SecretSource::File(path.clone()).read().unwrap_err().to_string();
            assert!(empty.ends_with("secret` is empty"), "{written:?}: {empty}");
        }
        let absent = SecretSource::File(folder.path().join("absent")).read().unwrap_err().to_string();
        assert!(absent.contains("absent` cannot be read"), "{absent}");
        let unset = SecretSource::Environment("SCOPEGATE_NOT_SET".to_owned()).read().unwrap_err();
        assert_eq!(unset.to_string(), "the environment variable `SCOPEGATE_NOT_SET` is not set");
    }
}
