-- +goose Up

-- How many products and orders there are, for the totals of lists: counting a million takes longer than reading a page of them.
CREATE TABLE product_counts (
    category_id TEXT NOT NULL PRIMARY KEY REFERENCES categories (id),
    n           INTEGER NOT NULL CHECK (n >= 0)
);
CREATE TABLE order_counts (
    state TEXT NOT NULL PRIMARY KEY,
    n     INTEGER NOT NULL CHECK (n >= 0)
);
INSERT INTO product_counts (category_id, n) SELECT category_id, COUNT(*) FROM products WHERE deleted_at IS NULL GROUP BY category_id;
INSERT INTO order_counts (state, n) SELECT state, COUNT(*) FROM orders WHERE deleted_at IS NULL GROUP BY state;

-- +goose StatementBegin
CREATE TRIGGER products_count_added AFTER INSERT ON products WHEN NEW.deleted_at IS NULL BEGIN
    INSERT INTO product_counts (category_id, n) VALUES (NEW.category_id, 1) ON CONFLICT (category_id) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER products_count_changed AFTER UPDATE OF category_id, deleted_at ON products
    WHEN OLD.category_id <> NEW.category_id OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) BEGIN
    UPDATE product_counts SET n = n - 1 WHERE OLD.deleted_at IS NULL AND category_id = OLD.category_id;
    INSERT INTO product_counts (category_id, n) SELECT NEW.category_id, 1 WHERE NEW.deleted_at IS NULL ON CONFLICT (category_id) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER products_count_removed AFTER DELETE ON products WHEN OLD.deleted_at IS NULL BEGIN
    UPDATE product_counts SET n = n - 1 WHERE category_id = OLD.category_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER orders_count_added AFTER INSERT ON orders WHEN NEW.deleted_at IS NULL BEGIN
    INSERT INTO order_counts (state, n) VALUES (NEW.state, 1) ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER orders_count_changed AFTER UPDATE OF state, deleted_at ON orders
    WHEN OLD.state <> NEW.state OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) BEGIN
    UPDATE order_counts SET n = n - 1 WHERE OLD.deleted_at IS NULL AND state = OLD.state;
    INSERT INTO order_counts (state, n) SELECT NEW.state, 1 WHERE NEW.deleted_at IS NULL ON CONFLICT (state) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER orders_count_removed AFTER DELETE ON orders WHEN OLD.deleted_at IS NULL BEGIN
    UPDATE order_counts SET n = n - 1 WHERE state = OLD.state;
END;
-- +goose StatementEnd

-- Each order in which a list can be asked for has an index, so that a page of it is read and not sorted out of a million rows.
CREATE INDEX products_name ON products (name_key, id) WHERE deleted_at IS NULL;
CREATE INDEX products_quantity ON products (quantity, id) WHERE deleted_at IS NULL;
CREATE INDEX products_updated_at ON products (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX products_category_deleted ON products (category_id, id) WHERE deleted_at IS NOT NULL; -- whose orders are still listed
CREATE INDEX orders_client ON orders (client_key, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_quantity ON orders (quantity, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_updated_at ON orders (updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_state_id ON orders (state, id) WHERE deleted_at IS NULL;
CREATE INDEX orders_product_id ON orders (product_id, created_at, id) WHERE deleted_at IS NULL;

-- How often a text was changed or taken away, or a product put into another category: as long as that is the same, and there are as many products or
-- orders, a search, in a category or in all, finds what it found before.
CREATE TABLE text_changes (
    texts TEXT NOT NULL PRIMARY KEY,
    n     INTEGER NOT NULL
);

-- What is searched for any part of it, cut into pieces of three characters. The texts themselves stay in their rows.
CREATE VIRTUAL TABLE product_texts USING fts5(search_key, content='products', content_rowid='rowid', tokenize='trigram case_sensitive 1');
INSERT INTO product_texts (rowid, search_key) SELECT rowid, search_key FROM products; -- deleted ones too: orders are still found by their names
-- +goose StatementBegin
CREATE TRIGGER products_text_added AFTER INSERT ON products BEGIN
    INSERT INTO product_texts (rowid, search_key) VALUES (NEW.rowid, NEW.search_key);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER products_text_changed AFTER UPDATE OF search_key ON products WHEN OLD.search_key <> NEW.search_key BEGIN
    INSERT INTO product_texts (product_texts, rowid, search_key) VALUES ('delete', OLD.rowid, OLD.search_key);
    INSERT INTO product_texts (rowid, search_key) VALUES (NEW.rowid, NEW.search_key);
    INSERT INTO text_changes (texts, n) VALUES ('products', 1) ON CONFLICT (texts) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER products_text_moved AFTER UPDATE OF category_id, deleted_at ON products
    WHEN OLD.category_id <> NEW.category_id OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) BEGIN
    INSERT INTO text_changes (texts, n) VALUES ('products', 1) ON CONFLICT (texts) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER products_text_removed AFTER DELETE ON products BEGIN
    INSERT INTO text_changes (texts, n) VALUES ('products', 1) ON CONFLICT (texts) DO UPDATE SET n = n + 1;
    INSERT INTO product_texts (product_texts, rowid, search_key) VALUES ('delete', OLD.rowid, OLD.search_key);
END;
-- +goose StatementEnd
CREATE VIRTUAL TABLE order_texts USING fts5(search_key, content='orders', content_rowid='rowid', tokenize='trigram case_sensitive 1');
INSERT INTO order_texts (rowid, search_key) SELECT rowid, search_key FROM orders WHERE deleted_at IS NULL;
-- +goose StatementBegin
CREATE TRIGGER orders_text_added AFTER INSERT ON orders WHEN NEW.deleted_at IS NULL BEGIN
    INSERT INTO order_texts (rowid, search_key) VALUES (NEW.rowid, NEW.search_key);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER orders_text_changed AFTER UPDATE OF search_key, deleted_at ON orders
    WHEN OLD.search_key <> NEW.search_key OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL) BEGIN
    INSERT INTO order_texts (order_texts, rowid, search_key) SELECT 'delete', OLD.rowid, OLD.search_key WHERE OLD.deleted_at IS NULL;
    INSERT INTO order_texts (rowid, search_key) SELECT NEW.rowid, NEW.search_key WHERE NEW.deleted_at IS NULL;
    INSERT INTO text_changes (texts, n) VALUES ('orders', 1) ON CONFLICT (texts) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER orders_text_removed AFTER DELETE ON orders WHEN OLD.deleted_at IS NULL BEGIN
    INSERT INTO text_changes (texts, n) VALUES ('orders', 1) ON CONFLICT (texts) DO UPDATE SET n = n + 1;
    INSERT INTO order_texts (order_texts, rowid, search_key) VALUES ('delete', OLD.rowid, OLD.search_key);
END;
-- +goose StatementEnd

-- +goose Down

DROP TRIGGER orders_text_removed;
DROP TRIGGER orders_text_changed;
DROP TRIGGER orders_text_added;
DROP TRIGGER products_text_removed;
DROP TRIGGER products_text_moved;
DROP TRIGGER products_text_changed;
DROP TRIGGER products_text_added;
DROP TABLE text_changes;
DROP TABLE order_texts;
DROP TABLE product_texts;
DROP INDEX orders_product_id;
DROP INDEX orders_state_id;
DROP INDEX orders_updated_at;
DROP INDEX orders_quantity;
DROP INDEX orders_client;
DROP INDEX products_category_deleted;
DROP INDEX products_updated_at;
DROP INDEX products_quantity;
DROP INDEX products_name;
DROP TRIGGER orders_count_removed;
DROP TRIGGER orders_count_changed;
DROP TRIGGER orders_count_added;
DROP TRIGGER products_count_removed;
DROP TRIGGER products_count_changed;
DROP TRIGGER products_count_added;
DROP TABLE order_counts;
DROP TABLE product_counts;
