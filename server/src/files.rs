//! Files of a folder over HTTP, such as a phone page: `[http] files`. Off by default.

use std::path::{Component, Path, PathBuf};

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Larger files are not served: a page and its scripts are smaller.
const MOST: u64 = 16 << 20;

/// Answers with the file that the path names, `index.html` for a folder.
pub(crate) async fn serve(root: PathBuf, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let Some(mut path) = within(&root, request.uri().path()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if path.is_dir() {
        path.push("index.html");
    }
    let kind = kind(&path);
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    match read.ok().flatten() {
        Some(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CACHE_CONTROL, "no-cache"),
            ];
            (headers, bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let file = std::fs::metadata(path).ok().filter(|file| file.is_file() && file.len() <= MOST);
    file.and_then(|_| std::fs::read(path).ok())
}

/// The file of that path, which stays below the root: names alone, as they are, none of them hidden.
fn within(root: &Path, path: &str) -> Option<PathBuf> {
    // Nothing is decoded: a name that needs an escape is not served.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if !path.bytes().all(plain) {
        return None;
    }
    let mut below = root.to_owned();
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) if !name.to_string_lossy().starts_with('.') => below.push(name),
            _ => return None,
        }
    }
    // A link may lead anywhere: what it leads to must be below the root too.
    let (root, real) = (root.canonicalize().ok()?, below.canonicalize().ok()?);
    real.starts_with(root).then_some(real)
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("wav") => "audio/wav",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_below_the_root_are_found() {
        let root = std::env::temp_dir().join(format!("strowger-files-{}", std::process::id()));
        std::fs::create_dir_all(root.join("deep")).expect("a folder");
        for name in ["index.html", "deep/a.js", ".secret"] {
            std::fs::write(root.join(name), name).expect("written");
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/hostname", root.join("link")).expect("linked");
        for good in ["/", "/index.html", "//deep/a.js", "/deep"] {
            assert!(within(&root, good).is_some(), "{good}");
        }
        for bad in
            ["/../x", "/deep/../index.html", "/.secret", "/%69ndex.html", "/missing", "/deep\\a.js", "/link"]
        {
            assert!(within(&root, bad).is_none(), "{bad}");
        }
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
