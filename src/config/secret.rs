use std::{env, fs, path::PathBuf};

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
}

impl SecretSource {
    /// Reads the secret. A line break at its end is the editor's and no part of it.
    pub fn read(&self) -> Result<Vec<u8>, UnreadableSecret> {
        let mut secret = match self {
            Self::File(path) => fs::read(path).map_err(|error| UnreadableSecret::File { path: path.clone(), error })?,
            Self::Environment(name) => {
                env::var(name).map_err(|_| UnreadableSecret::Environment(name.clone()))?.into_bytes()
            }
        };
        for end in [b'\n', b'\r'] {
            if secret.last() == Some(&end) {
                secret.pop();
            }
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
            ("", ""),
        ] {
            fs::write(&path, written).unwrap();
            assert_eq!(SecretSource::File(path.clone()).read().unwrap(), expected.as_bytes(), "{written:?}");
        }
        let absent = SecretSource::File(folder.path().join("absent")).read().unwrap_err().to_string();
        assert!(absent.contains("absent` cannot be read"), "{absent}");
        let unset = SecretSource::Environment("SCOPEGATE_NOT_SET".to_owned()).read().unwrap_err();
        assert_eq!(unset.to_string(), "the environment variable `SCOPEGATE_NOT_SET` is not set");
    }
}
