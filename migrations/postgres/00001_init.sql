-- +goose Up

-- Keys (columns named ..._key) are folded by the server and compared byte by byte, so that both engines find,
-- order and refuse the same.

CREATE TABLE users (
    id             uuid PRIMARY KEY,
    email          text NOT NULL,
    email_key      text COLLATE "C" NOT NULL,
    username       text,
    username_key   text COLLATE "C",
    first_name     text NOT NULL,
    first_name_key text COLLATE "C" NOT NULL,
    last_name      text NOT NULL,
    last_name_key  text COLLATE "C" NOT NULL,
    role           text NOT NULL CHECK (role IN ('Admin', 'Manager', 'User', 'ReadonlyUser')),
    status         text NOT NULL CHECK (status IN ('Draft', 'Active')),
    password_hash  text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    deleted_at     timestamptz,
    CONSTRAINT users_active_complete CHECK (status = 'Draft' OR (username IS NOT NULL AND username_key IS NOT NULL AND password_hash IS NOT NULL))
);
CREATE UNIQUE INDEX users_email_key ON users (email_key) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX users_username_key ON users (username_key) WHERE deleted_at IS NULL;
CREATE INDEX users_created_at ON users (created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE sessions (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users (id),
    created_at timestamptz NOT NULL,
    idle_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX sessions_user_id ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash       text PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    spent_at   timestamptz
);
CREATE INDEX refresh_tokens_session_id ON refresh_tokens (session_id);

CREATE TABLE one_time_tokens (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('Invitation', 'PasswordReset')),
    user_id    uuid NOT NULL REFERENCES users (id),
    token_hash text NOT NULL UNIQUE,
    event_id   uuid NOT NULL UNIQUE,
    created_by uuid REFERENCES users (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    revoked_at timestamptz
);
CREATE INDEX one_time_tokens_user_id ON one_time_tokens (user_id, kind, created_at);
CREATE INDEX one_time_tokens_expires_at ON one_time_tokens (expires_at);

CREATE TABLE login_failures (
    account        text COLLATE "C" NOT NULL,
    address        text NOT NULL,
    failures       bigint NOT NULL CHECK (failures >= 0),
    last_failed_at timestamptz NOT NULL,
    known_until    timestamptz,
    PRIMARY KEY (account, address)
);
CREATE INDEX login_failures_last_failed_at ON login_failures (last_failed_at);

CREATE TABLE categories (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    name_key   text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX categories_name_key ON categories (name_key) WHERE deleted_at IS NULL;

CREATE TABLE products (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    name_key    text COLLATE "C" NOT NULL,
    category_id uuid NOT NULL REFERENCES categories (id),
    quantity    bigint NOT NULL CONSTRAINT products_quantity_not_negative CHECK (quantity >= 0),
    description text NOT NULL,
    search_key  text COLLATE "C" NOT NULL,
    image       text,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz
);
CREATE INDEX products_created_at ON products (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_category_id ON products (category_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_image ON products (image) WHERE image IS NOT NULL;

CREATE TABLE orders (
    id          uuid PRIMARY KEY,
    product_id  uuid NOT NULL REFERENCES products (id),
    client      text NOT NULL,
    client_key  text COLLATE "C" NOT NULL,
    description text NOT NULL,
    search_key  text COLLATE "C" NOT NULL,
    quantity    bigint NOT NULL CHECK (quantity > 0),
    state       text NOT NULL CHECK (state IN ('Draft', 'Pending', 'Ready', 'Completed', 'Cancelled')),
    version     bigint NOT NULL,
    created_by  uuid REFERENCES users (id),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz
);
CREATE INDEX orders_created_at ON orders (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_state ON orders (state, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_open ON orders (product_id) WHERE deleted_at IS NULL AND state IN ('Draft', 'Pending', 'Ready');

CREATE TABLE order_steps (
    id            uuid PRIMARY KEY,
    order_id      uuid NOT NULL REFERENCES orders (id),
    order_version bigint NOT NULL,
    from_state    text CHECK (from_state IN ('Draft', 'Pending', 'Ready')),
    to_state      text NOT NULL CHECK (to_state IN ('Draft', 'Pending', 'Ready', 'Completed', 'Cancelled')),
    user_id       uuid REFERENCES users (id),
    created_at    timestamptz NOT NULL,
    UNIQUE (order_id, order_version)
);

CREATE TABLE movements (
    id              uuid PRIMARY KEY,
    product_id      uuid NOT NULL REFERENCES products (id),
    product_version bigint NOT NULL,
    delta           bigint NOT NULL,
    quantity_after  bigint NOT NULL CHECK (quantity_after >= 0),
    reason          text NOT NULL CHECK (reason IN ('Created', 'Adjusted', 'Reserved', 'Released')),
    order_id        uuid REFERENCES orders (id),
    user_id         uuid REFERENCES users (id),
    note            text NOT NULL,
    created_at      timestamptz NOT NULL,
    UNIQUE (product_id, product_version),
    CONSTRAINT movements_order_reason CHECK ((order_id IS NOT NULL) = (reason IN ('Reserved', 'Released')))
);
-- An order takes its quantity once and gives it back once.
CREATE UNIQUE INDEX movements_order_once ON movements (order_id, reason) WHERE order_id IS NOT NULL;

CREATE TABLE outbox (
    id          uuid PRIMARY KEY,
    type        text NOT NULL,
    subject     uuid NOT NULL,
    data        text NOT NULL,
    occurred_at timestamptz NOT NULL,
    state       text NOT NULL CHECK (state IN ('Pending', 'Sent', 'Dead')),
    retries     bigint NOT NULL,
    due_at      timestamptz NOT NULL,
    last_error  text NOT NULL,
    sent_at     timestamptz
);
CREATE INDEX outbox_due_at ON outbox (due_at, id) WHERE state = 'Pending';
CREATE INDEX outbox_sent_at ON outbox (sent_at) WHERE state = 'Sent';

-- The mail of each event. No reference to the outbox: the worker may run long after that row is purged.
CREATE TABLE deliveries (
    event_id     uuid PRIMARY KEY,
    user_id      uuid NOT NULL,
    type         text NOT NULL,
    state        text NOT NULL CHECK (state IN ('Sending', 'Accepted', 'Retrying', 'Sent', 'Failed', 'Dropped')),
    attempts     bigint NOT NULL,
    last_error   text NOT NULL,
    operation_id uuid,
    polls        bigint NOT NULL,
    lease_until  timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    sent_at      timestamptz
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
