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

-- +goose Down

DROP TRIGGER orders_count_removed;
DROP TRIGGER orders_count_changed;
DROP TRIGGER orders_count_added;
DROP TRIGGER products_count_removed;
DROP TRIGGER products_count_changed;
DROP TRIGGER products_count_added;
DROP TABLE order_counts;
DROP TABLE product_counts;
