//! The image by which cloud-init gets its user data (NoCloud), made by a tool that is there.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use muster_options::Secret;
use muster_process::Command;
use muster_tasks::Group;
use tempfile::TempDir;

/// What can make the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Genisoimage,
    Xorriso,
    CloudLocalds,
}

impl Tool {
    const ALL: [(Self, &str); 3] = [
        (Self::Genisoimage, "genisoimage"),
        (Self::Xorriso, "xorriso"),
        (Self::CloudLocalds, "cloud-localds"),
    ];

    /// The tool of that name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let row = Self::ALL.into_iter().find(|(_, own)| *own == name);
        row.map(|(tool, _)| tool)
    }

    /// The names of all, for messages.
    pub(super) fn names() -> String {
        Self::ALL.map(|(_, name)| name).join(", ")
    }

    /// The tool of that name, or the first that is there if it is empty.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let wanted = Self::ALL
            .into_iter()
            .filter(|(_, own)| name.is_empty() || *own == name);
        let is_there =
            |name: &str| Command::new([name]).is_ok_and(|command| command.find().is_ok());
        let mut there = wanted.filter(|(_, name)| is_there(name));
        let (tool, _) = there.next().ok_or_else(|| {
            let names = if name.is_empty() {
                Self::names()
            } else {
                name.to_owned()
            };
            format!("there is nothing to make a seed image with: install one of {names}")
        })?;
        Ok(tool)
    }

    /// The words of the command that makes the image.
    pub(super) fn words(self, work: &Work) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let [user, meta] =
            ["user-data", "meta-data"].map(|name| path(&work.folder.path().join(name)));
        let image = path(&work.image);
        let first: &[&str] = match self {
            Self::Genisoimage => &["genisoimage"],
            Self::Xorriso => &["xorriso", "-as", "genisoimage"],
            Self::CloudLocalds => return vec!["cloud-localds".to_owned(), image, user, meta],
        };
        let options = ["-quiet", "-volid", "cidata", "-joliet", "-rock", "-output"];
        let words = first.iter().chain(&options).map(|word| (*word).to_owned());
        words.chain([image, user, meta]).collect()
    }
}

/// A folder that only we can read, with what goes into the image. It is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Work {
    folder: TempDir,
    image: PathBuf,
    kept: bool,
}

/// An image to upload.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) path: String,
    pub(super) size: u64,
}

impl Work {
    /// Writes what goes into the image, which is made at `kept`, or in the folder if that is none.
    pub(super) async fn new(
        group: &Group,
        name: &str,
        user_data: &Secret,
        kept: Option<PathBuf>,
    ) -> Result<Self, String> {
        let (user, meta) = (
            user_data.clone(),
            format!("instance-id: {name}\nlocal-hostname: {name}\n"),
        );
        blocking(group, move || {
            let folder = tempfile::Builder::new().prefix("muster-seed-").tempdir()?;
            write(&folder.path().join("user-data"), user.expose())?;
            write(&folder.path().join("meta-data"), &meta)?;
            let is_kept = kept.is_some();
            let image = kept.unwrap_or_else(|| folder.path().join("seed.iso"));
            if is_kept {
                // Only the owner may read it, before the secret is in it.
                write(&image, "")?;
            }
            Ok(Self {
                folder,
                image,
                kept: is_kept,
            })
        })
        .await
        .map_err(|error| format!("write the seed: {error}"))
    }

    /// The image, unless it is to stay where it is.
    pub(super) fn to_upload(&self) -> Option<Image> {
        let size = fs::metadata(&self.image)
            .map(|about| about.len())
            .unwrap_or_default();
        (!self.kept).then(|| Image {
            path: self.image.display().to_string(),
            size,
        })
    }

    /// Removes the folder now.
    pub(super) async fn remove(self, group: &Group) {
        // What cannot be removed is only a temporary folder that nobody else can read.
        let _ = blocking(group, move || self.folder.close()).await;
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// Removes a file, which need not be there.
pub(super) async fn remove_file(group: &Group, path: PathBuf) -> Result<(), String> {
    let shown = path.display().to_string();
    let removed = blocking(group, move || match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    });
    removed
        .await
        .map_err(|error| format!("remove {shown}: {error}"))
}

/// Runs what touches the disk on a thread for that.
async fn blocking<T: Send + 'static>(
    group: &Group,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let task = group.spawn_blocking("seed of a server", move |_| work());
    let ended = task.map_err(std::io::Error::other)?.join().await.done();
    ended.unwrap_or_else(|| Err(std::io::Error::other("the task was ended")))
}
