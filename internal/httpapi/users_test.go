package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

var newYear = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)

// person makes a user who came to us the given number of days after new year; without a username, a draft.
func (s *server) person(username, firstName, lastName, email string, role domain.Role, day int) domain.User {
	s.t.Helper()
	at := newYear.AddDate(0, 0, day)
	u := domain.NewDraft(email, firstName, lastName, role, at)
	if username != "" {
		u.Activate(username, goodHash(), at)
	}
	require.NoError(s.t, s.store.Users.Create(s.t.Context(), u))
	return u
}

// column gives one member of each thing in a list.
func (a answer) column(list, member string) []any {
	a.t.Helper()
	values := []any{}
	for _, thing := range a.wants(http.StatusOK).json()[list].([]any) {
		values = append(values, thing.(j)[member])
	}
	return values
}

func TestUsers_list(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(newYear.AddDate(0, 0, 10))
		admin := s.person("zoe_admin", "Zoe", "Ängström", "zoe@example.com", domain.RoleAdmin, 0)
		s.person("Bob.M", "bob", "Baker", "Bob@Example.ORG", domain.RoleManager, 1)
		s.person("carol_100%", "Carol", "Cook", "carol@example.com", domain.RoleUser, 2) // of before a username was restricted
		s.person("", "Dora", "Zimmer", "dora.draft@example.org", domain.RoleUser, 3)
		s.person("eve", "EVE", "baker", "eve@example.com", domain.RoleReadonlyUser, 4)
		gone := s.person("gone", "Gone", "Baker", "gone@example.org", domain.RoleUser, 5)
		c := s.session(admin)
		c.delete("/users/" + gone.ID.String()).wants(http.StatusNoContent)

		for query, want := range map[string]string{
			"":                                    "EVE Dora Carol bob Zoe",
			"sort=-createdAt":                     "EVE Dora Carol bob Zoe",
			"sort=createdAt":                      "Zoe bob Carol Dora EVE",
			"sort=firstName":                      "bob Carol Dora EVE Zoe",
			"sort=-firstName":                     "Zoe EVE Dora Carol bob",
			"sort=username":                       "Dora bob Carol EVE Zoe", // a draft has none
			"sort=-username":                      "Zoe EVE Carol bob Dora",
			"sort=role&role=Admin":                "Zoe",
			"sort=":                               "EVE Dora Carol bob Zoe",
			"search=":                             "EVE Dora Carol bob Zoe",
			"search=BAKER":                        "EVE bob",
			"search=bob+bak":                      "bob",
			"search=bob%20%20bak":                 "",
			"search=%C3%A4NGSTR%C3%96M":           "Zoe",
			"search=%C3%84ng":                     "Zoe",
			"search=example.org":                  "Dora bob",
			"search=.m":                           "bob",
			"search=OB.M":                         "bob",
			"search=_":                            "Carol Zoe",
			"search=%25":                          "Carol",
			"search=100%25":                       "Carol",
			"search=%5C":                          "",
			"search=%27+OR+1%3D1--":               "",
			"search=gone":                         "",
			"role=User":                           "Dora Carol",
			"role=Manager":                        "bob",
			"status=Draft":                        "Dora",
			"status=Active":                       "EVE Carol bob Zoe",
			"status=Active&role=User":             "Carol",
			"status=Draft&role=Manager":           "",
			"search=baker&role=Manager":           "bob",
			"search=example&status=Draft":         "Dora",
			"search=o&sort=lastName":              "bob EVE Carol Dora Zoe",
			"unknown=1&Search=nobody&sort=unread": "400",
			"unknown=1&Search=nobody":             "EVE Dora Carol bob Zoe", // parameters match to the letter too
		} {
			s.run(query, func(t *testing.T) {
				a := c.get("/users?" + query)
				if want == "400" {
					a.refuses(http.StatusBadRequest, "sort")
					return
				}
				got := strings.Trim(fmt.Sprint(a.column("users", "firstName")), "[]")
				require.Equal(t, want, got)
				require.EqualValues(t, len(strings.Fields(want)), a.json()["totalItems"])
			})
		}
	})
}

// TestUsers_list_exactly compares whole answers.
func TestUsers_list_exactly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(newYear.Add(1500 * time.Microsecond))
		admin := s.person("john_admin88", "John", "Admin", "john@example.com", domain.RoleAdmin, 0)
		draft := s.person("", "Tolya <b>", "O'Hara & Co", "tolya@example.com", domain.RoleReadonlyUser, 1)
		c := s.session(admin)
		john := `{"id": "` + admin.ID.String() + `", "username": "john_admin88", "firstName": "John", "lastName": "Admin", "role": "Admin", "status": "Active", "createdAt": "2021-01-01T00:00:00.000Z"`
		tolya := `{"id": "` + draft.ID.String() + `", "username": null, "firstName": "Tolya <b>", "lastName": "O'Hara & Co", "role": "ReadonlyUser", "status": "Draft", "createdAt": "2021-01-02T00:00:00.000Z"`
		for path, want := range map[string]string{
			"/users":                              `{"users": [` + tolya + `}, ` + john + `}], "page": 1, "pageSize": 10, "totalItems": 2, "totalPages": 1}`,
			"/users?page=2&pageSize=1":            `{"users": [` + john + `}], "page": 2, "pageSize": 1, "totalItems": 2, "totalPages": 2}`,
			"/users?page=3&pageSize=1":            `{"users": [], "page": 3, "pageSize": 1, "totalItems": 2, "totalPages": 2}`,
			"/users?page=2147483647&pageSize=100": `{"users": [], "page": 2147483647, "pageSize": 100, "totalItems": 2, "totalPages": 1}`,
			"/users?search=nobody":                `{"users": [], "page": 1, "pageSize": 10, "totalItems": 0, "totalPages": 0}`,
			"/users/" + admin.ID.String():         john + `, "email": "john@example.com"}`,
			"/users/me":                           john + `, "email": "john@example.com"}`,
			"/users/" + draft.ID.String():         tolya + `, "email": "tolya@example.com"}`, // made without an invitation
		} {
			require.JSONEq(t, want, c.get(path).wants(http.StatusOK).Body, path)
		}
	})
}

// TestUsers_list_pagesNeverOverlap pages through people who differ by nothing but their ids.
func TestUsers_list_pagesNeverOverlap(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		const people = 7
		for i := range people {
			s.person("", "Jane", "Doe", fmt.Sprintf("jane%d@example.com", i), domain.RoleUser, 0)
		}
		c := s.session(s.person("admin", "Jane", "Doe", "admin@example.com", domain.RoleAdmin, 0))
		for _, sort := range []string{"createdAt", "username", "firstName", "lastName", "role"} {
			var up, down []any
			for page := 1; page <= 4; page++ {
				up = append(up, c.get(fmt.Sprintf("/users?role=User&pageSize=2&page=%d&sort=%s", page, sort)).column("users", "id")...)
				down = append(down, c.get(fmt.Sprintf("/users?role=User&pageSize=2&page=%d&sort=-%s", page, sort)).column("users", "id")...)
			}
			slices.Reverse(down)
			require.Equal(t, up, down, sort)
			seen := map[any]bool{}
			for _, id := range up {
				seen[id] = true
			}
			require.Len(t, seen, people, sort)
		}
	})
}

func TestUsers_list_invalid(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		c := s.as(domain.RoleReadonlyUser)
		for query, fields := range map[string][]string{
			"page=0": {"page"}, "page=-1": {"page"}, "page=1.5": {"page"}, "page=": {"page"}, "page=abc": {"page"}, "page=1e3": {"page"}, "page=%2B1": {"page"}, "page=0x1": {"page"},
			"page=2147483648": {"page"}, "page=9223372036854775808": {"page"}, "page=1&page=2": {"page"}, "page=%00": {"page"}, "page=%D9%A1": {"page"},
			"pageSize=0": {"pageSize"}, "pageSize=101": {"pageSize"}, "pageSize=-10": {"pageSize"}, "pageSize=all": {"pageSize"},
			"sort=email": {"sort"}, "sort=password_hash": {"sort"}, "sort=createdat": {"sort"}, "sort=--createdAt": {"sort"}, "sort=-": {"sort"}, "sort=createdAt,role": {"sort"},
			"sort=(select+pg_sleep(5))": {"sort"}, "sort=role&sort=role": {"sort"},
			"role=admin": {"role"}, "role=BigBoss": {"role"}, "role=Admin&role=User": {"role"}, "role=Admin%20": {"role"},
			"status=Deleted": {"status"}, "status=active": {"status"},
			"search=" + strings.Repeat("%C3%A4", 201): {"search"}, "search=a%0Ab": {"search"}, "search=%00": {"search"}, "search=%FF": {"search"}, "search=%ED%A0%80": {"search"}, "search=a&search=b": {"search"},
			"page=0&pageSize=0&sort=x&role=x&status=x&search=%00": {"page", "pageSize", "sort", "role", "status", "search"},
			"page=%zz": {"request"}, "search=a;b": {"request"}, "%": {"request"},
		} {
			s.run(query[:min(len(query), 60)], func(*testing.T) { c.get("/users?"+query).refuses(http.StatusBadRequest, fields...) })
		}
		c.get("/users?search=" + strings.Repeat("%C3%A4", 200)).wants(http.StatusOK)
		c.get("/users?page=2147483647&pageSize=100").wants(http.StatusOK)
	})
}

// TestUsers_invitation shows what became of a draft's mail to those who may invite, and to nobody else.
func TestUsers_invitation(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(newYear)
		for _, email := range []string{"tolya@example.com", "other@example.com"} {
			s.as(domain.RoleAdmin).post("/auth/invite", invitee(email, domain.RoleReadonlyUser)).wants(http.StatusCreated)
		}
		tolya, err := s.store.Users.ByEmail(t.Context(), "tolya@example.com")
		require.NoError(t, err)
		event := s.events()[0].Event
		path := "/users/" + tolya.ID.String()
		shown := func(c *client) any { return c.get(path).wants(http.StatusOK).json()["invitation"] }
		const expires = "2021-01-04T00:00:00.000Z"

		require.Equal(t, j{"state": "Queued", "attempts": 0.0, "lastError": nil, "sentAt": nil, "expiresAt": expires}, shown(s.as(domain.RoleAdmin)))
		delivery, mine, err := s.store.Deliveries.Claim(t.Context(), event, newYear, time.Minute)
		require.NoError(t, err)
		require.True(t, mine)
		sentAt := newYear.Add(90 * time.Second)
		for _, c := range []struct {
			state    domain.DeliveryState
			attempts int
			fault    string
			sentAt   *time.Time
			want     j
		}{
			{domain.DeliverySending, 1, "", nil, j{"state": "Queued", "attempts": 1.0, "lastError": nil, "sentAt": nil}},
			{domain.DeliveryRetrying, 1, "550 no such user", nil, j{"state": "Retrying", "attempts": 1.0, "lastError": "550 no such user", "sentAt": nil}},
			{domain.DeliverySending, 2, "550 no such user", nil, j{"state": "Retrying", "attempts": 2.0, "lastError": "550 no such user", "sentAt": nil}},
			{domain.DeliveryAccepted, 2, "", nil, j{"state": "Queued", "attempts": 2.0, "lastError": nil, "sentAt": nil}},
			{domain.DeliverySent, 2, "", &sentAt, j{"state": "Sent", "attempts": 2.0, "lastError": nil, "sentAt": "2021-01-01T00:01:30.000Z"}},
			{domain.DeliveryFailed, 101, "timeout", nil, j{"state": "Failed", "attempts": 101.0, "lastError": "timeout", "sentAt": nil}},
			{domain.DeliveryDropped, 0, "", nil, j{"state": "Failed", "attempts": 0.0, "lastError": nil, "sentAt": nil}},
		} {
			delivery.State, delivery.Attempts, delivery.LastError, delivery.SentAt = c.state, c.attempts, c.fault, c.sentAt
			require.NoError(t, s.store.Deliveries.Save(t.Context(), delivery, delivery.UpdatedAt))
			c.want["expiresAt"] = expires
			require.Equal(t, c.want, shown(s.as(domain.RoleManager)), c.state)
		}
		for _, role := range []domain.Role{domain.RoleUser, domain.RoleReadonlyUser} {
			require.NotContains(t, s.as(role).get(path).wants(http.StatusOK).json(), "invitation", role)
		}

		s.stop(newYear.Add(10 * time.Minute))
		secret := s.invite("tolya@example.com")
		require.Equal(t, j{"state": "Queued", "attempts": 0.0, "lastError": nil, "sentAt": nil, "expiresAt": "2021-01-04T00:10:00.000Z"}, shown(s.as(domain.RoleAdmin)), "the new one")
		s.anonymous().post("/auth/register", j{"token": secret, "username": "tolya", "password": goodPassword}).wants(http.StatusCreated)
		require.NotContains(t, s.as(domain.RoleAdmin).get(path).wants(http.StatusOK).json(), "invitation", "of an active user")
	})
}

func TestUsers_me(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		for _, role := range domain.Roles {
			c := s.as(role)
			me := c.get("/users/me").wants(http.StatusOK).json()
			require.Equal(t, []any{c.user.ID.String(), c.user.Email, string(role)}, []any{me["id"], me["email"], me["role"]})
			require.Equal(t, me, c.get("/users/"+c.user.ID.String()).wants(http.StatusOK).json())
			require.Len(t, me, 8)
		}
		s.anonymous().get("/users/me").refuses(http.StatusUnauthorized, "authorization")
		s.as(domain.RoleAdmin).delete("/users/me").refuses(http.StatusMethodNotAllowed, "request") // it is no user's id
	})
}

// TestUsers_whichRefusalComesFirst: a role that may nothing of the kind, then the id, then the rank, then the input.
func TestUsers_whichRefusalComesFirst(t *testing.T) {
	t.Parallel()
	each(t, func(_ *testing.T, s *server) {
		inferior, superior := s.newUser(domain.RoleReadonlyUser).user.ID.String(), s.newUser(domain.RoleAdmin).user.ID.String()
		peer := s.newUser(domain.RoleManager).user.ID.String()
		good, bad := invitee("x@example.com", domain.RoleUser), j{"role": "Blatnoi", "email": "x", "firstName": "", "lastName": ""}
		all := []string{"role", "email", "firstName", "lastName"}
		manager, readonly := s.as(domain.RoleManager), s.as(domain.RoleReadonlyUser)
		unknown := uuid.NewString()
		for _, c := range []struct {
			name, method, id string
			who              *client
			body             any
			status           int
			fields           []string
		}{
			{"read nobody", "GET", unknown, manager, nil, http.StatusNotFound, []string{"id"}},
			{"read no id", "GET", "5", manager, nil, http.StatusNotFound, []string{"id"}},
			{"read an id in braces", "GET", "%7B" + inferior + "%7D", manager, nil, http.StatusNotFound, []string{"id"}},
			{"read an id as URN", "GET", "urn:uuid:" + inferior, manager, nil, http.StatusNotFound, []string{"id"}},
			{"read an id without hyphens", "GET", strings.ReplaceAll(inferior, "-", ""), manager, nil, http.StatusNotFound, []string{"id"}},
			{"read with injection", "GET", url.PathEscape(inferior + "' OR '1'='1"), manager, nil, http.StatusNotFound, []string{"id"}},
			{"read NUL", "GET", "%00", manager, nil, http.StatusNotFound, []string{"id"}},
			{"read a superior", "GET", superior, manager, nil, http.StatusForbidden, []string{"authorization"}},
			{"change nobody", "PUT", unknown, manager, good, http.StatusNotFound, []string{"id"}},
			{"change nobody, badly", "PUT", unknown, manager, bad, http.StatusNotFound, append([]string{"id"}, all...)},
			{"change no id, badly", "PUT", "5", manager, bad, http.StatusNotFound, []string{"id"}},
			{"change a superior, badly", "PUT", superior, manager, bad, http.StatusForbidden, []string{"authorization"}},
			{"change a peer, badly", "PUT", peer, manager, bad, http.StatusForbidden, []string{"authorization"}},
			{"change an inferior, badly", "PUT", inferior, manager, bad, http.StatusBadRequest, all},
			{"change an inferior, with no body", "PUT", inferior, manager, "", http.StatusBadRequest, []string{"request"}},
			{"raise an inferior too high", "PUT", inferior, manager, invitee("x@example.com", domain.RoleAdmin), http.StatusForbidden, []string{"role"}},
			{"raise an inferior too high, badly", "PUT", inferior, manager, invitee("x", domain.RoleAdmin), http.StatusBadRequest, []string{"email"}},
			{"change without the role for it", "PUT", unknown, readonly, bad, http.StatusForbidden, []string{"authorization"}},
			{"delete nobody", "DELETE", unknown, manager, nil, http.StatusNotFound, []string{"id"}},
			{"delete no id", "DELETE", "5", manager, nil, http.StatusNotFound, []string{"id"}},
			{"delete a superior", "DELETE", superior, manager, nil, http.StatusForbidden, []string{"authorization"}},
			{"delete a peer", "DELETE", peer, manager, nil, http.StatusForbidden, []string{"authorization"}},
			{"delete without the role for it", "DELETE", "5", readonly, nil, http.StatusForbidden, []string{"authorization"}},
			{"anybody without a token", "PUT", inferior, s.anonymous(), bad, http.StatusUnauthorized, []string{"authorization"}},
		} {
			s.run(c.name, func(*testing.T) { c.who.do(c.method, "/users/"+c.id, c.body).refuses(c.status, c.fields...) })
		}
	})
}

// TestUsers_update_onlyWhatIsPromised sends every member that a user has.
func TestUsers_update_onlyWhatIsPromised(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		u, other := s.newUser(domain.RoleUser).user, s.newUser(domain.RoleUser).user
		before, err := s.store.Users.ByID(t.Context(), u.ID)
		require.NoError(t, err)
		body := j{
			"firstName": "  Anatoly  ", "lastName": "Perforator", "role": "ReadonlyUser", "email": u.Email,
			"id": other.ID, "username": "root", "status": "Draft", "createdAt": "2000-01-01T00:00:00.000Z", "deletedAt": "2000-01-01T00:00:00.000Z", "updatedAt": nil,
			"password": "Perforator 1996", "passwordHash": "x", "password_hash": "x", "usernameKey": "root", "FirstName": "Wrong", "ROLE": "Admin",
		}
		s.advance(time.Minute)
		require.Empty(t, admin.put("/users/"+u.ID.String(), body).wants(http.StatusNoContent).Body)

		after, err := s.store.Users.ByID(t.Context(), u.ID)
		require.NoError(t, err)
		require.True(t, after.UpdatedAt.After(before.UpdatedAt))
		before.Describe(u.Email, "Anatoly", "Perforator", domain.RoleReadonlyUser, after.UpdatedAt)
		require.Equal(t, before, after)
		unchanged, err := s.store.Users.ByID(t.Context(), other.ID)
		require.NoError(t, err)
		require.Equal(t, other.Email, unchanged.Email)
		s.anonymous().login(u.Email, goodPassword).wants(http.StatusOK)
		require.Empty(t, s.events())
	})
}

func TestUsers_update_email(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.stop(newYear)
		admin, c := s.as(domain.RoleAdmin), s.newUser(domain.RoleUser)
		path, reset := "/users/"+c.user.ID.String(), s.resetToken(c.user)
		change := func(email string) answer { return admin.put(path, invitee(email, domain.RoleUser)) }

		change(c.user.Email).wants(http.StatusNoContent)
		change(strings.ToUpper(c.user.Email)).wants(http.StatusNoContent)
		require.Equal(t, strings.ToUpper(c.user.Email), admin.get(path).text("email"))
		c.live() // it is the same address, so nothing else happens
		require.Empty(t, s.events())

		change("New@example.com").wants(http.StatusNoContent)
		c.ended()
		s.anonymous().post("/auth/reset", j{"token": reset, "password": "Perforator 1996"}).refuses(http.StatusBadRequest, "token")
		s.anonymous().login(c.user.Email, goodPassword).refuses(http.StatusUnauthorized, "credentials")
		s.anonymous().login("new@example.com", goodPassword).wants(http.StatusOK)

		events := s.events()
		require.Len(t, events, 1)
		var told domain.EmailChanged
		require.NoError(t, json.Unmarshal(events[0].Data, &told))
		require.Equal(t, domain.EmailChanged{Email: strings.ToUpper(c.user.Email), FirstName: "Tolya", LastName: "Perforator"}, told)
		require.Equal(t, []any{domain.EventEmailChanged, c.user.ID, newYear}, []any{events[0].Type, events[0].Subject, events[0].At})
	})
}

// TestUsers_update_emailOfADraft: whoever reads the old mailbox must not be able to open the account.
func TestUsers_update_emailOfADraft(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		old := s.invite("old@example.com")
		draft, err := s.store.Users.ByEmail(t.Context(), "old@example.com")
		require.NoError(t, err)
		path := "/users/" + draft.ID.String()
		s.as(domain.RoleManager).put(path, invitee("old@EXAMPLE.com", domain.RoleUser)).wants(http.StatusNoContent)
		require.Len(t, s.events(), 1)
		register := func(token string) answer {
			return s.anonymous().post("/auth/register", j{"token": token, "username": "tolya", "password": goodPassword})
		}
		s.as(domain.RoleManager).put(path, j{"firstName": "Anatoly", "lastName": "P", "role": "ReadonlyUser", "email": "new@example.com"}).wants(http.StatusNoContent)
		register(old).refuses(http.StatusBadRequest, "token")
		events := s.events()
		require.Equal(t, []domain.EventType{domain.EventUserInvited, domain.EventEmailChanged, domain.EventUserInvited}, []domain.EventType{events[0].Type, events[1].Type, events[2].Type})
		require.Contains(t, string(events[1].Data), `"old@EXAMPLE.com"`)
		var again domain.UserInvited
		require.NoError(t, json.Unmarshal(events[2].Data, &again))
		require.Equal(t, []any{"new@example.com", "Anatoly", "P", domain.RoleReadonlyUser, "Jane Manager"}, []any{again.Email, again.FirstName, again.LastName, again.Role, again.InvitedBy})
		register(again.Token).wants(http.StatusCreated)
	})
}

func TestUsers_update_emailThatIsTaken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, c, other := s.as(domain.RoleAdmin), s.newUser(domain.RoleUser), s.newUser(domain.RoleUser).user
		s.invite("draft@example.com")
		before := s.dump()
		for _, email := range []string{other.Email, strings.ToUpper(other.Email), admin.user.Email, "Draft@example.com"} {
			admin.put("/users/"+c.user.ID.String(), invitee(email, domain.RoleUser)).refuses(http.StatusConflict, "email")
		}
		require.Equal(t, before, s.dump())
		c.live()
	})
}

// TestUsers_update_withoutItsMail: an address is not changed unless the old one is told.
func TestUsers_update_withoutItsMail(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, c := s.as(domain.RoleAdmin), s.newUser(domain.RoleUser)
		before, mend := s.dump(), s.sabotage("outbox")
		admin.put("/users/"+c.user.ID.String(), invitee("new@example.com", domain.RoleUser)).failed()
		mend()
		require.Equal(t, before, s.dump())
		c.live()
	})
}

func TestUsers_delete(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin, c := s.as(domain.RoleAdmin), s.newUser(domain.RoleUser)
		path, reset := "/users/"+c.user.ID.String(), s.resetToken(c.user)
		s.category("Electronics")
		made := c.post("/products", j{"name": "iPhone 12", "category": "Electronics", "quantity": 1}).wants(http.StatusCreated).text("id")

		require.Empty(t, admin.delete(path).wants(http.StatusNoContent).Body)
		c.ended()
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			admin.do(method, path, invitee("x@example.com", domain.RoleUser)).refuses(http.StatusNotFound, "id")
		}
		s.anonymous().login(c.user.Email, goodPassword).refuses(http.StatusUnauthorized, "credentials")
		s.anonymous().post("/auth/reset", j{"token": reset, "password": "Perforator 1996"}).refuses(http.StatusBadRequest, "token")
		require.Equal(t, []any{j{"id": c.user.ID.String(), "username": *c.user.Username}}, admin.get("/products/"+made+"/movements").column("movements", "user"), "the ledger still names them")

		// Email and username may be used again, by somebody else.
		admin.post("/auth/invite", invitee(strings.ToUpper(c.user.Email), domain.RoleUser)).wants(http.StatusCreated)
		secret := s.mailToken(domain.EventUserInvited, strings.ToUpper(c.user.Email))
		heir := s.holder(s.anonymous().post("/auth/register", j{"token": secret, "username": strings.ToUpper(*c.user.Username), "password": goodPassword}).wants(http.StatusCreated))
		require.NotEqual(t, c.user.ID.String(), heir.get("/users/me").wants(http.StatusOK).text("id"))
	})
}

// TestUsers_delete_draft: the invitation of a deleted draft is worthless, also when the same address is invited again.
func TestUsers_delete_draft(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		old := s.invite("tolya@example.com")
		draft, err := s.store.Users.ByEmail(t.Context(), "tolya@example.com")
		require.NoError(t, err)
		s.as(domain.RoleAdmin).delete("/users/" + draft.ID.String()).wants(http.StatusNoContent)
		mailed, err := s.store.Tokens.LiveForEvent(t.Context(), s.events()[0].ID, s.now())
		require.NoError(t, err)
		require.False(t, mailed, "an invitation that has not left yet stays here")
		again := s.invite("tolya@example.com")
		register := func(token string) answer {
			return s.anonymous().post("/auth/register", j{"token": token, "username": "tolya", "password": goodPassword})
		}
		register(old).refuses(http.StatusBadRequest, "token")
		register(again).wants(http.StatusCreated)
	})
}

// TestUsers_atOnce deletes and registers the same draft at the same moment: one of the two happens wholly.
func TestUsers_atOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		admin := s.as(domain.RoleAdmin)
		for round := range 5 {
			email := fmt.Sprintf("tolya%d@example.com", round)
			secret := s.invite(email)
			draft, err := s.store.Users.ByEmail(t.Context(), email)
			require.NoError(t, err)
			answers := together(
				func() answer { return admin.delete("/users/" + draft.ID.String()) },
				func() answer {
					return s.anonymous().post("/auth/register", j{"token": secret, "username": fmt.Sprintf("tolya%d", round), "password": goodPassword})
				},
			)
			answers[0].wants(http.StatusNoContent)
			if answers[1].Status == http.StatusCreated {
				s.holder(answers[1]).ended() // it was deleted after that
			} else {
				answers[1].refuses(http.StatusBadRequest, "token")
			}
		}
	})
}
