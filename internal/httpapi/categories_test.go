package httpapi_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// TestCategories_create gives the name every kind of value.
func TestCategories_create(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		send := func(value string) answer { return manager.post("/products/categories", raw{}.with(raw{"name": value})) }
		s.run("bad_name", func(t *testing.T) { s.checkFaults(t, "name", badLines("name", 100), send) })
		s.run("good_name", func(t *testing.T) {
			for value, kept := range goodLines(100) {
				a := send(value).wants(http.StatusCreated)
				require.Empty(t, a.Header.Get("Location"))
				made := a.json()
				require.Regexp(t, "^"+shape("id")+"$", made["id"])
				delete(made, "id")
				require.Equal(t, j{"name": kept}, made)
				// Twice is once too often, trimmed or not.
				require.Equal(t, map[string][]string{"name": {"The category with name '" + kept + "' already exists"}}, send(value).refuses(http.StatusConflict, "name"))
				manager.delete("/products/categories/" + url.PathEscape(kept)).wants(http.StatusNoContent)
			}
		})
		s.run("unknown_fields", func(t *testing.T) {
			made := manager.post("/products/categories", `{"name": "Toys", "id": "x", "itemquantity": 5, "Name": 5}`).wants(http.StatusCreated).json()
			require.Equal(t, []any{"Toys", 2}, []any{made["name"], len(made)})
		})
	})
}

// TestCategories_bodies sends bodies that are no JSON object, or not quite one.
func TestCategories_bodies(t *testing.T) {
	t.Parallel()
	deep := func(n int) string {
		return `{"name": "x", "y": ` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		for name, body := range map[string]string{
			"empty":                   "",
			"spaces":                  "  ",
			"null":                    "null",
			"list":                    `[{"name": "x"}]`,
			"text":                    `"name"`,
			"number":                  "5",
			"cut":                     `{"name": "x"`,
			"cut_in_a_text":           `{"name": "x`,
			"without_quotes":          `{name: "x"}`,
			"single_quotes":           `{'name': 'x'}`,
			"comma_at_the_end":        `{"name": "x",}`,
			"comment":                 `{"name": "x"} // a category`,
			"two_values":              `{"name": "x"} {"name": "y"}`,
			"something_after_it":      `{"name": "x"}]`,
			"byte_order_mark":         "\ufeff" + `{"name": "x"}`,
			"key_twice":               `{"name": "x", "name": "y"}`,
			"key_twice_escaped":       `{"name": "x", "n\u0061me": "y"}`,
			"key_twice_inside":        `{"name": "x", "y": {"z": 1, "z": 2}}`,
			"unknown_key_twice":       `{"name": "x", "y": 1, "y": 2}`,
			"bad_number":              `{"name": "x", "y": 05}`,
			"NaN":                     `{"name": "x", "y": NaN}`,
			"newline_in_a_text":       "{\"name\": \"x\ny\"}",
			"bad_escape":              `{"name": "\x"}`,
			"broken_UTF-8_elsewhere":  "{\"name\": \"x\", \"y\": \"\xff\"}",
			"broken_UTF-8_in_a_key":   "{\"name\": \"x\", \"\xff\": 1}",
			"nested_too_deeply":       deep(200),
			"nested_much_too_deeply":  deep(30_000),
			"too_many_keys":           `{"name": "x"` + manyKeys(2000) + `}`,
			"UTF-16":                  "\xff\xfe{\x00}\x00",
			"a_form":                  "name=x",
			"nothing_but_a_backslash": `\`,
		} {
			s.run(name, func(t *testing.T) {
				before := s.dump()
				manager.post("/products/categories", body).refuses(http.StatusBadRequest, "request")
				require.Equal(t, before, s.dump())
			})
		}
		s.run("no_body", func(*testing.T) { manager.post("/products/categories", nil).refuses(http.StatusBadRequest, "request") })
		s.run("keys_to_the_letter", func(t *testing.T) {
			s.checkFaults(t, "name", []fault{{`{"Name": "x"}`, "The name is required"}, {`{"NAME": "x", "": "x"}`, "The name is required"}, {`{}`, "The name is required"}},
				func(body string) answer { return manager.post("/products/categories", body) })
		})
		s.run("too_large", func(*testing.T) {
			manager.post("/products/categories", `{"name": "`+strings.Repeat("x", 64<<10)+`"}`).refuses(http.StatusRequestEntityTooLarge, "request")
		})
		for name, headers := range map[string][]string{
			"text": {"Content-Type", "text/plain"}, "form": {"Content-Type", "multipart/form-data; boundary=b"}, "charset": {"Content-Type", "application/json; charset=utf-16"},
			"none": {"Content-Type", ""}, "compressed": {"Content-Encoding", "br"},
		} {
			s.run("media_type/"+name, func(*testing.T) {
				manager.do(http.MethodPost, "/products/categories", `{"name": "x"}`, headers...).refuses(http.StatusUnsupportedMediaType, "request")
			})
		}
		for name, body := range map[string]string{"spaces_around": " \r\n\t{ \"name\" : \"spaces\" } \n", "escaped_key": `{"n\u0061me": "escaped"}`, "nested": deep(20)} {
			s.run("good/"+name, func(*testing.T) { manager.post("/products/categories", body).wants(http.StatusCreated) })
		}
	})
}

func manyKeys(n int) string {
	var keys strings.Builder
	for i := range n {
		keys.WriteString(`, "` + strconv.Itoa(i) + `": 1`)
	}
	return keys.String()
}

// TestCategories_duplicates makes categories whose names differ by case alone.
func TestCategories_duplicates(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		for name, others := range map[string][]string{
			"Electronics": {"electronics", "ELECTRONICS", " eLeCtRoNiCs\u00a0"},
			"Çay":         {"çay", "ÇAY"},
			"ÉLECTRIQUE":  {"électrique", "Électrique"},
			"Ἀθῆναι":      {"ἀθῆναι"},
			"Οδυσσεύς":    {"ΟΔΥΣΣΕΎΣ", "οδυσσεύσ"},
			"Инструмент":  {"ИНСТРУМЕНТ", "инструмент"},
			"Straße":      {"STRAẞE"},
			"ǅ":           {"ǆ", "Ǆ"},
			"Ⓐ":           {"ⓐ"},
		} {
			s.run(name, func(t *testing.T) {
				s.category(name)
				before := s.dump()
				for _, other := range others {
					require.Equal(t, map[string][]string{"name": {"The category with name '" + strings.TrimFunc(other, func(r rune) bool { return r == ' ' || r == '\u00a0' }) + "' already exists"}},
						manager.post("/products/categories", j{"name": other}).refuses(http.StatusConflict, "name"))
				}
				require.Equal(t, before, s.dump())
			})
		}
		s.run("others_are_others", func(*testing.T) {
			for _, name := range []string{"Electronic", "Electronics 2", "E lectronics", "Electronics.", "Cay", "%", "_", "E%", "Straẞen"} {
				s.category(name)
			}
		})
		s.run("twenty_at_once", func(t *testing.T) {
			create := func() answer { return manager.post("/products/categories", j{"name": "Furniture"}) }
			require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 19}, tally(together(slices.Repeat([]func() answer{create}, 20)...)))
		})
	})
}

// TestCategories_list shows the categories by name, with how many products each holds.
func TestCategories_list(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		reader := s.as(domain.RoleReadonlyUser)
		require.JSONEq(t, `{"categories": []}`, reader.get("/products/categories").wants(http.StatusOK).Body)
		for _, name := range []string{"b", "Z", "É", "a c", "A", "z2", "😀", "a-b", "ab", "é2"} {
			s.category(name)
		}
		s.product("iPhone 12", "A", 10)
		s.product("iPhone 11", "A", 0)
		gone, moved := s.product("iPhone 10", "A", 5), s.product("iPhone 9", "A", 5)
		admin := s.as(domain.RoleAdmin)
		admin.delete("/products/" + gone).wants(http.StatusNoContent)
		admin.put("/products/"+moved, j{"name": "iPhone 9", "category": "B"}).wants(http.StatusOK)
		admin.delete("/products/categories/ab").wants(http.StatusNoContent)
		var names []string
		counts := map[string]float64{}
		for _, c := range reader.get("/products/categories").wants(http.StatusOK).json()["categories"].([]any) {
			require.ElementsMatch(t, []string{"id", "name", "itemquantity"}, slices.Collect(maps.Keys(c.(j))))
			names = append(names, c.(j)["name"].(string))
			if n := c.(j)["itemquantity"].(float64); n > 0 {
				counts[names[len(names)-1]] = n
			}
		}
		require.Equal(t, []string{"A", "a c", "a-b", "b", "Z", "z2", "É", "é2", "😀"}, names)
		require.Equal(t, map[string]float64{"A": 2, "b": 1}, counts)
	})
}

// TestCategories_deleteByName takes names out of the path that have to be encoded there.
func TestCategories_deleteByName(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		manager := s.as(domain.RoleManager)
		for _, name := range []string{
			"Toys & Games", "Home/Garden", "/", "//x//", "50%", "%2F", "%25", "a+b", "+", "a b", "?", "#", "a?b=c#d", ";", ":", ":name", "*", `\`, `"`, "'", "<b>", "..", ".",
			"../users", "é", "Straße", "😀", "e\u0301", "orders", "quantity", "state", "categories", "movements", "null", "\u202e", strings.Repeat("😀", 100), "_", "~", "[]", "{}", "|", "^", "`", "=", ",", "@", "$",
		} {
			for how, encoded := range map[string]string{"escaped": url.PathEscape(name), "every_byte": everyByte(name)} {
				s.run(how+"/"+name, func(t *testing.T) {
					s.category(name)
					manager.delete("/products/categories/" + encoded).wants(http.StatusNoContent)
					require.Equal(t, map[string][]string{"name": {"The category with name '" + name + "' does not exist"}},
						manager.delete("/products/categories/"+encoded).refuses(http.StatusNotFound, "name"))
				})
			}
		}
		s.run("in_another_case", func(*testing.T) {
			s.category("Électronique")
			manager.delete("/products/categories/" + url.PathEscape("éLECTRONIQUE")).wants(http.StatusNoContent)
		})
		s.category("Electronics")
		before := s.dump()
		for path, shown := range map[string]string{
			"Toys": "Toys", "Electronic": "Electronic", "%25": "%", "Electr_nics": "Electr_nics", "%00": "?", "Electronics%00": "Electronics?", "%FF": "?", "%20": " ", "a%0Ab": "a?b",
			strings.Repeat("x", 101): strings.Repeat("x", 100) + "…", "' OR 1=1 --": "' OR 1=1 --",
		} {
			s.run("unknown/"+path, func(t *testing.T) {
				require.Equal(t, map[string][]string{"name": {"The category with name '" + shown + "' does not exist"}},
					manager.delete("/products/categories/"+strings.ReplaceAll(path, " ", "%20")).refuses(http.StatusNotFound, "name"))
			})
		}
		for _, path := range []string{"/products/categories/", "/products/categories/a/b", "/products/categories//", "/products/categories/Electronics/"} {
			s.run("no_route"+path, func(*testing.T) { manager.delete(path).refuses(http.StatusNotFound, "request") })
		}
		require.Equal(s.t, before, s.dump())
	})
}

// everyByte encodes every byte of a name.
func everyByte(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		b.WriteString("%" + strings.ToUpper(strconv.FormatInt(0x100+int64(c), 16)[1:]))
	}
	return b.String()
}

// TestCategories_delete deletes a category with a product that has an order in each state.
func TestCategories_delete(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		manager, user := s.as(domain.RoleManager), s.as(domain.RoleUser)
		for _, state := range states {
			s.run(string(state), func(t *testing.T) {
				parts := productForm(s, part{name: "image", file: "a.png", value: string(pngPicture(1))})
				category := parts[1].value
				made := user.form(http.MethodPost, "/products", parts...).wants(http.StatusCreated).json()
				other := s.product("iPhone 11", category, 5)
				beside := s.product("Table", "Furniture", 5)
				order := s.order(made["id"].(string), 3, state)
				before := s.dump()
				a := manager.delete("/products/categories/" + category)
				if slices.Contains(domain.OpenOrderStates, state) {
					require.Equal(t, map[string][]string{"name": {"The category with name '" + category + "' has items with 1 open transaction(s)"}},
						a.refuses(http.StatusConflict, "name"))
					require.Equal(t, before, s.dump())
					return
				}
				a.wants(http.StatusNoContent)
				require.Empty(t, a.Body)
				for _, id := range []string{made["id"].(string), other} {
					manager.get("/products/"+id).refuses(http.StatusNotFound, "id")
				}
				manager.get("/products/" + beside).wants(http.StatusOK)
				require.NotContains(t, s.pictures(), made["imageUrl"])
				for _, gone := range []answer{
					manager.get("/products?category=" + category),
					manager.get("/products/orders?category=" + category),
					user.post("/products", j{"name": "x", "category": category, "quantity": 1}),
					user.put("/products/"+beside, j{"name": "x", "category": category}),
				} {
					require.Equal(t, map[string][]string{"category": {"The category with name '" + category + "' does not exist"}}, gone.refuses(http.StatusBadRequest, "category"))
				}
				item := manager.get("/products/orders/" + order).wants(http.StatusOK).json()["item"].(j)
				require.Equal(t, []any{"iPhone 12", category, nil, true}, []any{item["name"], item["category"], item["imageUrl"], item["deleted"]})
				// The name is free again, and what is made under it is another category.
				s.category(category)
				require.Equal(t, float64(0), manager.get("/products?category=" + category).wants(http.StatusOK).json()["totalItems"])
				require.Equal(t, float64(0), manager.get("/products/orders?category=" + category).wants(http.StatusOK).json()["totalItems"])
			})
		}
		s.run("all_or_nothing", func(t *testing.T) {
			// The category is deleted with the order that hindered it gone.
			items := []string{s.product("a", "Mixed", 5), s.product("b", "Mixed", 5), s.product("c", "Mixed", 5)}
			order := s.order(items[1], 5, domain.OrderReady)
			before := s.dump()
			manager.delete("/products/categories/Mixed").refuses(http.StatusConflict, "name")
			require.Equal(t, before, s.dump())
			s.as(domain.RoleAdmin).delete("/products/orders/" + order).wants(http.StatusNoContent)
			manager.delete("/products/categories/Mixed").wants(http.StatusNoContent)
			for _, item := range items {
				manager.get("/products/"+item).refuses(http.StatusNotFound, "id")
			}
			s.checkBooks(t)
		})
		s.run("empty", func(*testing.T) {
			s.category("Empty")
			manager.delete("/products/categories/Empty").wants(http.StatusNoContent)
		})
		s.run("twenty_at_once", func(t *testing.T) {
			s.product("Chair", "Chairs", 5)
			remove := func() answer { return manager.delete("/products/categories/Chairs") }
			require.Equal(t, map[int]int{http.StatusNoContent: 1, http.StatusNotFound: 19}, tally(together(slices.Repeat([]func() answer{remove}, 20)...)))
		})
	})
}

// TestCategories_fillWhatGoes puts products into a category while it is deleted: they go with it or are refused.
func TestCategories_fillWhatGoes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		manager, user := s.as(domain.RoleManager), s.as(domain.RoleUser)
		for range 16 {
			category := s.category(unique("Electronics"))
			beside := s.product("Table", "Furniture", 5)
			body := j{"name": "iPhone 12", "category": category, "quantity": 1}
			create := func() answer { return user.post("/products", body) }
			put := func() answer { return user.put("/products/"+beside, body) }
			remove := func() answer { return manager.delete("/products/categories/" + category) }
			counts := tally(together(create, remove, put, create, remove, put, create, put))
			require.Equal(t, 1, counts[http.StatusNoContent], counts)
			for status := range counts {
				require.Contains(t, []int{http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusBadRequest, http.StatusNotFound}, status)
			}
		}
		s.checkBooks(t)
	})
}
