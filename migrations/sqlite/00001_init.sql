-- +goose Up

-- Keys (columns named ..._key) are folded by the server and compared byte by byte, so that both engines find,
-- order and refuse the same.

CREATE TABLE users (
    id             TEXT NOT NULL PRIMARY KEY,
    email          TEXT NOT NULL,
    email_key      TEXT NOT NULL,
    username       TEXT,
    username_key   TEXT,
    first_name     TEXT NOT NULL,
    first_name_key TEXT NOT NULL,
    last_name      TEXT NOT NULL,
    last_name_key  TEXT NOT NULL,
    role           TEXT NOT NULL CHECK (role IN ('Admin', 'Manager', 'User', 'ReadonlyUser')),
    status         TEXT NOT NULL CHECK (status IN ('Draft', 'Active')),
    password_hash  TEXT,
    created_at     DATETIME NOT NULL,
    updated_at     DATETIME NOT NULL,
    deleted_at     DATETIME,
    CONSTRAINT users_active_complete CHECK (status = 'Draft' OR (username IS NOT NULL AND username_key IS NOT NULL AND password_hash IS NOT NULL))
);
CREATE UNIQUE INDEX users_email_key ON users (email_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_username_key ON users (username_key) WHERE deleted_at IS NULL;
CREATE INDEX users_created_at ON users (created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    created_at DATETIME NOT NULL,
    idle_until DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    ended_at   DATETIME
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash       TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at DATETIME NOT NULL,
    spent_at   DATETIME
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

CREATE TABLE one_time_tokens (
    id         TEXT NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL CHECK (kind IN ('Invitation', 'PasswordReset')),
    user_id    TEXT NOT NULL REFERENCES users (id),
    token_hash TEXT NOT NULL UNIQUE,
    event_id   TEXT NOT NULL UNIQUE,
    created_by TEXT REFERENCES users (id),
    created_at DATETIME NOT NULL,
    expires_at DATETIME NOT NULL,
    used_at    DATETIME,
    revoked_at DATETIME
);
CREATE INDEX one_time_tokens_user_id ON one_time_tokens (user_id, kind, created_at);
CREATE INDEX one_time_tokens_expires_at ON one_time_tokens (expires_at);

CREATE TABLE login_failures (
    account        TEXT NOT NULL,
    address        TEXT NOT NULL,
    failures       INTEGER NOT NULL CHECK (failures >= 0),
    last_failed_at DATETIME NOT NULL,
    known_until    DATETIME,
    PRIMARY KEY (account, address)
);
CREATE INDEX login_failures_last_failed_at ON login_failures (last_failed_at);

CREATE TABLE categories (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    name_key   TEXT NOT NULL,
    created_at DATETIME NOT NULL,
    deleted_at DATETIME
);
CREATE UNIQUE INDEX categories_name_key ON categories (name_key) WHERE deleted_at IS NULL;

CREATE TABLE products (
    id          TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL,
    category_id TEXT NOT NULL REFERENCES categories (id),
    quantity    INTEGER NOT NULL CONSTRAINT products_quantity_not_negative CHECK (quantity >= 0),
    description TEXT NOT NULL,
    search_key  TEXT NOT NULL,
    image       TEXT,
    version     INTEGER NOT NULL,
    created_at  DATETIME NOT NULL,
    updated_at  DATETIME NOT NULL,
    deleted_at  DATETIME
);
CREATE INDEX products_created_at ON products (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_category_id ON products (category_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_image ON products (image) WHERE image IS NOT NULL;

CREATE TABLE orders (
    id          TEXT NOT NULL PRIMARY KEY,
    product_id  TEXT NOT NULL REFERENCES products (id),
    client      TEXT NOT NULL,
    client_key  TEXT NOT NULL,
    description TEXT NOT NULL,
    search_key  TEXT NOT NULL,
    quantity    INTEGER NOT NULL CHECK (quantity > 0),
    state       TEXT NOT NULL CHECK (state IN ('Draft', 'Pending', 'Ready', 'Completed', 'Cancelled')),
    version     INTEGER NOT NULL,
    created_by  TEXT REFERENCES users (id),
    created_at  DATETIME NOT NULL,
    updated_at  DATETIME NOT NULL,
    deleted_at  DATETIME
);
CREATE INDEX orders_created_at ON orders (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_state ON orders (state, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_open ON orders (product_id) WHERE deleted_at IS NULL AND state IN ('Draft', 'Pending', 'Ready');

CREATE TABLE order_steps (
    id            TEXT NOT NULL PRIMARY KEY,
    order_id      TEXT NOT NULL REFERENCES orders (id),
    order_version INTEGER NOT NULL,
    from_state    TEXT CHECK (from_state IN ('Draft', 'Pending', 'Ready')),
    to_state      TEXT NOT NULL CHECK (to_state IN ('Draft', 'Pending', 'Ready', 'Completed', 'Cancelled')),
    user_id       TEXT REFERENCES users (id),
    created_at    DATETIME NOT NULL,
    UNIQUE (order_id, order_version)
);

CREATE TABLE movements (
    id              TEXT NOT NULL PRIMARY KEY,
    product_id      TEXT NOT NULL REFERENCES products (id),
    product_version INTEGER NOT NULL,
    delta           INTEGER NOT NULL,
    quantity_after  INTEGER NOT NULL CHECK (quantity_after >= 0),
    reason          TEXT NOT NULL CHECK (reason IN ('Created', 'Adjusted', 'Reserved', 'Released')),
    order_id        TEXT REFERENCES orders (id),
    user_id         TEXT REFERENCES users (id),
    note            TEXT NOT NULL,
    created_at      DATETIME NOT NULL,
    UNIQUE (product_id, product_version),
    CONSTRAINT movements_order_reason CHECK ((order_id IS NOT NULL) = (reason IN ('Reserved', 'Released')))
);
-- An order takes its quantity once and gives it back once.
CREATE UNIQUE INDEX movements_order_once ON movements (order_id, reason) WHERE order_id IS NOT NULL;

CREATE TABLE outbox (
    id          TEXT NOT NULL PRIMARY KEY,
    type        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    data        TEXT NOT NULL,
    occurred_at DATETIME NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('Pending', 'Sent', 'Dead')),
    retries     INTEGER NOT NULL,
    due_at      DATETIME NOT NULL,
    last_error  TEXT NOT NULL,
    sent_at     DATETIME
);
CREATE INDEX outbox_due_at ON outbox (due_at, id) WHERE state = 'Pending';
CREATE INDEX outbox_sent_at ON outbox (sent_at) WHERE state = 'Sent';

-- The mail of each event. No reference to the outbox: the worker may run long after that row is purged.
CREATE TABLE deliveries (
    event_id     TEXT NOT NULL PRIMARY KEY,
    user_id      TEXT NOT NULL,
    type         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('Sending', 'Accepted', 'Retrying', 'Sent', 'Failed', 'Dropped')),
    attempts     INTEGER NOT NULL,
    last_error   TEXT NOT NULL,
    operation_id TEXT,
    polls        INTEGER NOT NULL,
    lease_until  DATETIME,
    created_at   DATETIME NOT NULL,
    updated_at   DATETIME NOT NULL,
    sent_at      DATETIME
);
CREATE INDEX deliveries_created_at ON deliveries (created_at);

-- +goose Down

DROP TABLE deliveries;
DROP TABLE outbox;
DROP TABLE movements;
DROP TABLE order_steps;
DROP TABLE orders;
DROP TABLE products;
DROP TABLE categories;
DROP TABLE login_failures;
DROP TABLE one_time_tokens;
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE users;
