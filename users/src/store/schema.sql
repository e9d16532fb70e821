-- Version 1. AUTOINCREMENT: the number of a deleted account is never given to another.
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE COLLATE NOCASE,
    display_name TEXT NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'user')),
    enabled INTEGER NOT NULL,
    -- A PHC string; NULL has no password.
    password TEXT,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;

CREATE TABLE aor (
    aor TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    place INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX aor_by_account ON aor (account, place);

-- As good as passwords, so apart from everything else.
CREATE TABLE ha1 (
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    realm TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    ha1 TEXT NOT NULL,
    PRIMARY KEY (account, realm, algorithm)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_by_account ON api_key (account);

-- A login and the refresh tokens that follow from it.
CREATE TABLE family (
    id TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    scopes TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX family_by_account ON family (account, created);
CREATE INDEX family_by_end ON family (expires);

CREATE TABLE refresh (
    hash BLOB PRIMARY KEY,
    family TEXT NOT NULL REFERENCES family (id) ON DELETE CASCADE,
    expires INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_by_family ON refresh (family);

-- Access tokens that are dead before their time. Of a subject: those issued up to `since`.
CREATE TABLE revocation (
    kind TEXT NOT NULL CHECK (kind IN ('subject', 'session', 'token')),
    name TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
