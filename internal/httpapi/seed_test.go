package httpapi_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

// exchange is one example of the owner's documentation: a request, and the answer that it gets to the last member. What stands
// in <angle brackets> is made by the server: see [names].
type exchange struct {
	name    string
	prepare func(s *server, n names)
	at      string      // when it happens; the clock stands
	who     domain.Role // who calls; empty: anonymous
	jwt     string      // the token of the authorization header, where who is empty
	call    string      // method and path
	body    any         // a JSON text, or []part for a form
	status  int
	want    string // the JSON body; empty for an empty body
}

// TestSeed plays the documentation's examples as one story, in an order in which each is true.
func TestSeed(t *testing.T) {
	t.Parallel()
	iPhone := func(changes ...part) []part {
		form := []part{
			{name: "name", value: "iPhone 12"}, {name: "category", value: "Electronics"}, {name: "quantity", value: "10"},
			{name: "description", value: "Better than iPhone 11 (maybe)"},
		}
		return append(form, changes...)
	}
	const (
		iPhone12 = `"id": "<iPhone12>", "name": "iPhone 12", "category": "Electronics", "description": "Better than iPhone 11 (maybe)",
			"imageUrl": "<image>.png", "createdAt": "2021-01-01T00:00:00.000Z"`
		iPhone11 = `{"id": "<iPhone11>", "name": "iPhone 11", "category": "Electronics", "quantity": 5, "description": "Better than iPhone 10",
			"imageUrl": null, "createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2021-01-01T00:00:00.000Z"}`
		january = `, "updatedAt": "2021-01-01T00:00:00.000Z"`
		bought  = `"id": "<transaction>", "description": "Will buy 5 IPhones in lease", "createdAt": "2021-01-01T00:00:00.000Z"`
		onePage = `"page": 1, "pageSize": 10, "totalItems": 2, "totalPages": 1`
	)
	story := []exchange{
		// /auth/login
		{
			name: "login", call: "POST /auth/login", body: `{"email": "john@example.com", "password": "password"}`,
			prepare: func(s *server, n names) {
				n["manager88"] = s.john("john_manager88", "Doe", domain.RoleReadonlyUser, "doe@example.com").ID.String()
				n["admin88"] = s.john("john_admin88", "Admin", domain.RoleAdmin, "john@example.com").ID.String()
			},
			status: http.StatusOK, want: `{"accessToken": "<jwt>", "refreshToken": "<secret>"}`,
		},
		{
			name: "login error", call: "POST /auth/login", body: `{"email": "john", "password": "password"}`,
			status: http.StatusBadRequest, want: `{"errors": {"email": ["The email is not valid"]}}`,
		},
		// /users
		{
			name: "users", who: domain.RoleAdmin, call: "GET /users?page=1&pageSize=10&search=John", status: http.StatusOK, want: `{"users": [
				{"id": "<admin88>", "username": "john_admin88", "firstName": "John", "lastName": "Admin", "role": "Admin", "status": "Active",
					"createdAt": "2021-01-01T00:00:00.000Z"},
				{"id": "<manager88>", "username": "john_manager88", "firstName": "John", "lastName": "Doe", "role": "ReadonlyUser", "status": "Active",
					"createdAt": "2021-01-01T00:00:00.000Z"}
			], ` + onePage + `}`,
		},
		{
			name: "users error", who: domain.RoleReadonlyUser, call: "GET /users?page=0",
			status: http.StatusBadRequest, want: `{"errors": {"page": ["The page must be a positive integer"]}}`,
		},
		{
			name: "user", who: domain.RoleAdmin, call: "GET /users/<admin88>", status: http.StatusOK,
			want: `{"id": "<admin88>", "username": "john_admin88", "firstName": "John", "lastName": "Admin", "role": "Admin", "status": "Active",
				"email": "john@example.com", "createdAt": "2021-01-01T00:00:00.000Z"}`,
		},
		{
			name: "user error", who: domain.RoleReadonlyUser, call: "GET /users/<nobody>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The user with id '<nobody>' does not exist"]}}`,
		},
		{
			name: "update user error", who: domain.RoleUser, call: "PUT /users/<nobody>",
			body:   `{"firstName": "John", "lastName": "Admin", "role": "BigBoss", "email": "john2@example.com"}`,
			status: http.StatusNotFound,
			want:   `{"errors": {"id": ["The user with id '<nobody>' does not exist"], "role": ["The role 'BigBoss' is not valid"]}}`,
		},
		{
			name: "update user", who: domain.RoleAdmin, call: "PUT /users/<manager88>",
			body:   `{"firstName": "John", "lastName": "Admin", "role": "Admin", "email": "john2@example.com"}`,
			status: http.StatusNoContent,
		},
		{
			name: "updated user", who: domain.RoleAdmin, call: "GET /users/<manager88>", status: http.StatusOK,
			want: `{"id": "<manager88>", "username": "john_manager88", "firstName": "John", "lastName": "Admin", "role": "Admin", "status": "Active",
				"email": "john2@example.com", "createdAt": "2021-01-01T00:00:00.000Z"}`,
		},
		{
			name: "delete user error", who: domain.RoleManager, call: "DELETE /users/<nobody>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The user with id '<nobody>' does not exist"]}}`,
		},
		{
			name: "delete user", who: domain.RoleManager, call: "DELETE /users/<leaver>", status: http.StatusNoContent,
			prepare: func(s *server, n names) { n["leaver"] = s.newUser(domain.RoleUser).user.ID.String() },
		},
		{
			name: "deleted user", who: domain.RoleManager, call: "GET /users/<leaver>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The user with id '<leaver>' does not exist"]}}`,
		},
		// /auth/invite
		{
			name: "invite error", who: domain.RoleManager, call: "POST /auth/invite",
			body:   `{"email": "tolya@example.com", "firstName": "John", "lastName": "Doe", "role": "Blatnoi"}`,
			status: http.StatusBadRequest, want: `{"errors": {"role": ["The role 'Blatnoi' is not valid"]}}`,
		},
		{
			name: "invite", who: domain.RoleManager, call: "POST /auth/invite",
			body:   `{"email": "tolya@example.com", "firstName": "John", "lastName": "Doe", "role": "ReadonlyUser"}`,
			status: http.StatusCreated,
		},
		// /auth/register
		{
			name: "register error", call: "POST /auth/register", body: `{"token": "invitationToken", "username": "tolya_perforator1996", "password": "Tolya123!"}`,
			status: http.StatusBadRequest, want: `{"errors": {"token": ["The invitation token is not valid"]}}`,
		},
		{
			name: "register", call: "POST /auth/register", body: `{"token": "<secret of the invitation>", "username": "tolya_perforator1996", "password": "Tolya123!"}`,
			prepare: func(s *server, n names) {
				n["secret of the invitation"] = s.mailToken(domain.EventUserInvited, "tolya@example.com")
			},
			status: http.StatusCreated, want: `{"accessToken": "<jwt of Tolya>", "refreshToken": "<secret of Tolya>"}`,
		},
		{
			name: "registered", jwt: "<jwt of Tolya>", call: "GET /users/me", status: http.StatusOK,
			want: `{"id": "<tolya>", "username": "tolya_perforator1996", "firstName": "John", "lastName": "Doe", "role": "ReadonlyUser", "status": "Active",
				"email": "tolya@example.com", "createdAt": "2021-01-01T00:00:00.000Z"}`,
		},
		// /auth/refresh
		{
			name: "refresh", at: "2021-01-01T01:00:00.000Z", jwt: "<jwt>", call: "POST /auth/refresh", body: `{"refreshToken": "<secret>"}`,
			status: http.StatusOK, want: `{"accessToken": "<jwt, the next>", "refreshToken": "<secret, the next>"}`,
		},
		{
			name: "refreshed", at: "2021-01-01T01:00:00.000Z", jwt: "<jwt, the next>", call: "GET /users/me", status: http.StatusOK,
			want: `{"id": "<admin88>", "username": "john_admin88", "firstName": "John", "lastName": "Admin", "role": "Admin", "status": "Active",
				"email": "john@example.com", "createdAt": "2021-01-01T00:00:00.000Z"}`,
		},
		// /products/categories
		{
			name: "no products yet", who: domain.RoleReadonlyUser, call: "GET /products?page=0&category=Electronics", status: http.StatusBadRequest,
			want: `{"errors": {"page": ["The page must be a positive integer"], "category": ["The category with name 'Electronics' does not exist"]}}`,
		},
		{
			name: "create product error", who: domain.RoleUser, call: "POST /products", body: iPhone(),
			status: http.StatusBadRequest, want: `{"errors": {"category": ["The category with name 'Electronics' does not exist"]}}`,
		},
		{
			name: "delete category error", who: domain.RoleManager, call: "DELETE /products/categories/Electronics",
			status: http.StatusNotFound, want: `{"errors": {"name": ["The category with name 'Electronics' does not exist"]}}`,
		},
		{
			name: "create category", who: domain.RoleManager, call: "POST /products/categories", body: `{"name": "Electronics"}`,
			status: http.StatusCreated, want: `{"id": "<electronics>", "name": "Electronics"}`,
		},
		{
			name: "create category error", who: domain.RoleManager, call: "POST /products/categories", body: `{"name": "Electronics"}`,
			status: http.StatusConflict, want: `{"errors": {"name": ["The category with name 'Electronics' already exists"]}}`,
		},
		{
			name: "create another category", who: domain.RoleAdmin, call: "POST /products/categories", body: `{"name": "Furniture"}`,
			status: http.StatusCreated, want: `{"id": "<furniture>", "name": "Furniture"}`,
		},
		// /products
		{
			name: "create product without image", who: domain.RoleUser, call: "POST /products", status: http.StatusCreated, want: iPhone11,
			body: []part{
				{name: "name", value: "iPhone 11"}, {name: "category", value: "Electronics"}, {name: "quantity", value: "5"},
				{name: "description", value: "Better than iPhone 10"}, {name: "image", value: "null"},
			},
		},
		{
			name: "create product", who: domain.RoleUser, call: "POST /products", body: iPhone(part{name: "image", file: "iphone.png", value: string(pngPicture(1))}),
			status: http.StatusCreated, want: `{` + iPhone12 + january + `, "quantity": 10}`,
		},
		{
			name: "create product as JSON", who: domain.RoleUser, call: "POST /products",
			body:   `{"name": "Chair", "category": "Furniture", "quantity": 1, "description": "", "image": "` + base64Picture(2) + `"}`,
			status: http.StatusCreated, want: `{"id": "<chair>", "name": "Chair", "category": "Furniture", "quantity": 1, "description": "",
				"imageUrl": "<image of a chair>.png", "createdAt": "2021-01-01T00:00:00.000Z"` + january + `}`,
		},
		{
			name: "categories", who: domain.RoleReadonlyUser, call: "GET /products/categories", status: http.StatusOK,
			prepare: func(s *server, _ names) {
				for i := range 8 {
					s.product(fmt.Sprint("Cable ", i), "Electronics", 100)
				}
				for i := range 4 {
					s.product(fmt.Sprint("Table ", i), "Furniture", 100)
				}
			},
			want: `{"categories": [{"id": "<electronics>", "name": "Electronics", "itemquantity": 10}, {"id": "<furniture>", "name": "Furniture", "itemquantity": 5}]}`,
		},
		{
			name: "products", who: domain.RoleReadonlyUser, call: "GET /products?page=1&pageSize=10&search=iPhone&category=Electronics",
			status: http.StatusOK, want: `{"products": [{` + iPhone12 + january + `, "quantity": 10}, ` + iPhone11 + `], ` + onePage + `}`,
		},
		{
			name: "product", who: domain.RoleReadonlyUser, call: "GET /products/<iPhone12>", status: http.StatusOK,
			want: `{` + iPhone12 + january + `, "quantity": 10}`,
		},
		{
			name: "product error", who: domain.RoleReadonlyUser, call: "GET /products/<nobody>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The item with id '<nobody>' does not exist"]}}`,
		},
		{
			name: "update product error", who: domain.RoleUser, call: "PUT /products/<nobody>",
			body:   `{"name": "iPhone 12", "category": "Gadgets", "quantity": 10, "description": "", "image": null}`,
			status: http.StatusNotFound, want: `{"errors": {"id": ["The item with id '<nobody>' does not exist"],
				"category": ["The category with name 'Gadgets' does not exist"]}}`,
		},
		// /products/orders
		{
			name: "create transaction error", who: domain.RoleUser, call: "POST /products/orders",
			body: `{"itemId": "<iPhone12>", "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 5,
				"initialState": "Completed"}`,
			status: http.StatusBadRequest, want: `{"errors": {"initialState": ["The state 'Completed' cannot be an initial state"]}}`,
		},
		{
			name: "create transaction", who: domain.RoleUser, call: "POST /products/orders",
			body: `{"itemId": "<iPhone12>", "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 5,
				"initialState": "Pending"}`,
			status: http.StatusCreated, want: `{` + bought + january + `, "client": "John Doe Enterprises", "quantity": 5, "state": "Pending",
				"item": {` + iPhone12 + january + `, "quantity": 10}}`,
		},
		{
			name: "update transaction", who: domain.RoleManager, call: "PUT /products/orders/<transaction>",
			body:   `{"client": "John Doe Enterprises Incorporated", "description": "Will buy 5 IPhones in lease", "quantity": 6}`,
			status: http.StatusOK, want: `{` + bought + january + `, "client": "John Doe Enterprises Incorporated", "quantity": 6, "state": "Pending",
				"item": {` + iPhone12 + january + `, "quantity": 10}}`,
		},
		{
			name: "update transaction error", who: domain.RoleManager, call: "PUT /products/orders/<transaction>",
			body:   `{"client": "John Doe Enterprises Incorporated", "description": "Will buy 5 IPhones in lease", "quantity": 11}`,
			status: http.StatusConflict,
			want:   `{"errors": {"quantity": ["You specified the quantity 11, but the item 'iPhone 12' has only 10 unit(s) available"]}}`,
		},
		{
			name: "transaction", who: domain.RoleUser, call: "GET /products/orders/<transaction>", status: http.StatusOK,
			want: `{` + bought + january + `, "client": "John Doe Enterprises Incorporated", "quantity": 6, "state": "Pending",
				"item": {` + iPhone12 + january + `, "quantity": 10}}`,
		},
		{
			name: "transaction error", who: domain.RoleUser, call: "GET /products/orders/<nobody>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The transaction with id '<nobody>' does not exist"]}}`,
		},
		{
			name: "approve transaction", who: domain.RoleManager, call: "PATCH /products/orders/state/<transaction>", body: `{"transition": "Ready"}`,
			status: http.StatusOK, want: `{` + bought + january + `, "client": "John Doe Enterprises Incorporated", "quantity": 6, "state": "Ready",
				"item": {` + iPhone12 + january + `, "quantity": 4}}`,
		},
		{
			name: "complete transaction", who: domain.RoleManager, call: "PATCH /products/orders/state/<transaction>", body: `{"transition": "Completed"}`,
			status: http.StatusOK, want: `{` + bought + january + `, "client": "John Doe Enterprises Incorporated", "quantity": 6, "state": "Completed",
				"item": {` + iPhone12 + january + `, "quantity": 4}}`,
		},
		{
			name: "delete transaction error", call: "DELETE /products/orders/<transaction>",
			status: http.StatusUnauthorized, want: `{"errors": {"authorization": ["An access token is required"]}}`,
		},
		{name: "delete transaction", who: domain.RoleAdmin, call: "DELETE /products/orders/<transaction>", status: http.StatusNoContent},
		{
			name: "deleted transaction", who: domain.RoleAdmin, call: "GET /products/orders/<transaction>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The transaction with id '<transaction>' does not exist"]}}`,
		},
		// /products/quantity
		{
			name: "set quantity", who: domain.RoleUser, call: "PATCH /products/quantity/<iPhone12>", body: `{"quantity": 10}`,
			status: http.StatusOK, want: `{` + iPhone12 + january + `, "quantity": 10}`,
		},
		{
			name: "change quantity", who: domain.RoleUser, call: "PATCH /products/quantity/<iPhone12>", body: `{"delta": -1, "note": "a gift"}`,
			status: http.StatusOK, want: `{` + iPhone12 + january + `, "quantity": 9}`,
		},
		{
			name: "set quantity error", who: domain.RoleUser, call: "PATCH /products/quantity/<nobody>", body: `{"quantity": 10}`,
			status: http.StatusNotFound, want: `{"errors": {"id": ["The item with id '<nobody>' does not exist"]}}`,
		},
		// /products/orders again: the list's two
		{
			name: "create draft for the office", who: domain.RoleUser, call: "POST /products/orders",
			prepare: func(s *server, n names) { n["toiletPaper"] = s.product("Toilet Paper", "Hygiene", 100) },
			body:    `{"itemId": "<toiletPaper>", "client": "Main Office Floor 4", "description": "", "quantity": 12, "initialState": "Draft"}`,
			status:  http.StatusCreated, want: `{"id": "<draft>", "client": "Main Office Floor 4", "description": "", "quantity": 12, "state": "Draft",
				"createdAt": "2021-01-01T00:00:00.000Z"` + january + `, "item": {"id": "<toiletPaper>", "name": "Toilet Paper", "category": "Hygiene", "quantity": 100,
				"description": "", "imageUrl": null, "createdAt": "2021-01-01T00:00:00.000Z"` + january + `}}`,
		},
		{
			name: "create draft", who: domain.RoleUser, call: "POST /products/orders",
			body: `{"itemId": "<iPhone12>", "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 5,
				"initialState": "Draft"}`,
			status: http.StatusCreated, want: `{"id": "<second>", "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 5,
				"state": "Draft", "createdAt": "2021-01-01T00:00:00.000Z"` + january + `, "item": {` + iPhone12 + january + `, "quantity": 9}}`,
		},
		{
			name: "move transaction error", who: domain.RoleAdmin, call: "PATCH /products/orders/state/<second>", body: `{"transition": "Completed"}`,
			status: http.StatusConflict, want: `{"errors": {"transition": ["The transaction cannot go from the state 'Draft' to the state 'Completed'"]}}`,
		},
		{
			name: "submit draft", at: "2021-02-01T00:00:00.000Z", who: domain.RoleUser, call: "PATCH /products/orders/state/<draft>", body: `{"transition": "Pending"}`,
			status: http.StatusOK, want: `{"id": "<draft>", "client": "Main Office Floor 4", "description": "", "quantity": 12, "state": "Pending",
				"createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2021-02-01T00:00:00.000Z", "item": {"id": "<toiletPaper>", "name": "Toilet Paper",
				"category": "Hygiene", "quantity": 100, "description": "", "imageUrl": null, "createdAt": "2021-01-01T00:00:00.000Z"` + january + `}}`,
		},
		{
			name: "transactions", at: "2021-02-01T00:00:00.000Z", who: domain.RoleReadonlyUser, call: "GET /products/orders?page=1&pageSize=10",
			status: http.StatusOK, want: `{"orders": [
				{"id": "<second>", "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 5, "state": "Draft",
					"createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2021-01-01T00:00:00.000Z",
					"item": {"id": "<iPhone12>", "name": "iPhone 12", "category": "Electronics", "quantity": 9, "imageUrl": "<image>.png"}},
				{"id": "<draft>", "client": "Main Office Floor 4", "description": "", "quantity": 12, "state": "Pending",
					"createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2021-02-01T00:00:00.000Z",
					"item": {"id": "<toiletPaper>", "name": "Toilet Paper", "category": "Hygiene", "quantity": 100, "imageUrl": null}}
			], ` + onePage + `}`,
		},
		{
			name: "transactions of a category", at: "2021-02-01T00:00:00.000Z", who: domain.RoleReadonlyUser,
			call: "GET /products/orders?page=1&pageSize=10&search=iPhone&category=Electronics", status: http.StatusOK, want: `{"orders": [
				{"id": "<second>", "client": "John Doe Enterprises", "description": "Will buy 5 IPhones in lease", "quantity": 5, "state": "Draft",
					"createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2021-01-01T00:00:00.000Z",
					"item": {"id": "<iPhone12>", "name": "iPhone 12", "category": "Electronics", "quantity": 9, "imageUrl": "<image>.png"}}
			], "page": 1, "pageSize": 10, "totalItems": 1, "totalPages": 1}`,
		},
		{
			name: "transactions error", at: "2021-02-01T00:00:00.000Z", who: domain.RoleReadonlyUser, call: "GET /products/orders?page=-1",
			status: http.StatusBadRequest, want: `{"errors": {"page": ["The page must be a positive integer"]}}`,
		},
		// two years later
		{
			name: "update product", at: "2023-01-01T00:00:00.000Z", who: domain.RoleUser, call: "PUT /products/<iPhone12>",
			body: iPhone(part{name: "image", file: "iphone.png", value: string(pngPicture(3))}), status: http.StatusOK,
			want: `{"id": "<iPhone12>", "name": "iPhone 12", "category": "Electronics", "quantity": 10, "description": "Better than iPhone 11 (maybe)",
				"imageUrl": "<image, the next>.png", "createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2023-01-01T00:00:00.000Z"}`,
		},
		{
			name: "update product to no image", at: "2023-01-01T00:00:00.000Z", who: domain.RoleUser, call: "PUT /products/<iPhone12>",
			body: iPhone(part{name: "image", value: "null"}), status: http.StatusOK,
			want: `{"id": "<iPhone12>", "name": "iPhone 12", "category": "Electronics", "quantity": 10, "description": "Better than iPhone 11 (maybe)",
				"imageUrl": null, "createdAt": "2021-01-01T00:00:00.000Z", "updatedAt": "2023-01-01T00:00:00.000Z"}`,
		},
		{name: "delete product", at: "2023-01-01T00:00:00.000Z", who: domain.RoleManager, call: "DELETE /products/<iPhone11>", status: http.StatusNoContent},
		{
			name: "delete product error", at: "2023-01-01T00:00:00.000Z", who: domain.RoleManager, call: "DELETE /products/<iPhone11>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The item with id '<iPhone11>' does not exist"]}}`,
		},
		{
			name: "delete category", at: "2023-01-01T00:00:00.000Z", who: domain.RoleManager, call: "DELETE /products/categories/Furniture",
			status: http.StatusNoContent,
		},
		{
			name: "its products are gone", at: "2023-01-01T00:00:00.000Z", who: domain.RoleReadonlyUser, call: "GET /products/<chair>",
			status: http.StatusNotFound, want: `{"errors": {"id": ["The item with id '<chair>' does not exist"]}}`,
		},
	}
	each(t, func(_ *testing.T, s *server) {
		n := names{"nobody": "018f0000-0000-7000-8000-000000000000"}
		for _, e := range story {
			s.run(e.name, func(t *testing.T) { s.play(t, e, n) })
		}
	})
}

// play makes the request and compares the answer.
func (s *server) play(t *testing.T, e exchange, n names) {
	at := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	if e.at != "" {
		var err error
		at, err = time.Parse(time.RFC3339, e.at)
		require.NoError(t, err)
	}
	s.stop(at)
	if e.prepare != nil {
		e.prepare(s, n)
	}
	caller := s.anonymous()
	if e.who != "" {
		caller = s.session(s.as(e.who).user) // the clock has leapt; older sessions have ended
	}
	if e.jwt != "" {
		caller.access = n.fill(e.jwt)
	}
	method, path, _ := strings.Cut(n.fill(e.call), " ")
	var a answer
	if form, ok := e.body.([]part); ok {
		a = caller.form(method, path, form...)
	} else if body, ok := e.body.(string); ok {
		a = caller.do(method, path, n.fill(body))
	} else {
		a = caller.do(method, path, nil)
	}
	a.wants(e.status)
	if e.want == "" {
		require.Empty(t, a.Body)
		return
	}
	require.Equal(t, "application/json; charset=utf-8", a.Header.Get("Content-Type"))
	require.Equal(t, n.match(t, parseJSON(t, e.want), parseJSON(t, a.Body)), parseJSON(t, a.Body))
}

// john makes an active user whose password is "password".
func (s *server) john(username, lastName string, role domain.Role, email string) domain.User {
	s.t.Helper()
	u := domain.NewDraft(email, "John", lastName, role, s.now())
	u.Activate(username, hashOf("password"), s.now())
	require.NoError(s.t, s.store.Users.Create(s.t.Context(), u))
	return u
}

// names are the values that the server has made so far. A name that begins with jwt, secret or image stands for such a one,
// any other for an id. Where it stands first it takes the value; from then on it is that value. No two have the same.
type names map[string]string

var placeholder = regexp.MustCompile(`<([^<>]+)>`)

// fill puts the values in the places of their names.
func (n names) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		if value, known := n[p[1:len(p)-1]]; known {
			return value
		}
		return p
	})
}

// match gives what is wanted with the names in it replaced by values, those of new names from what the server gave.
func (n names) match(t *testing.T, want, got any) any {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for key := range w {
			w[key] = n.match(t, w[key], g[key])
		}
	case []any:
		g, _ := got.([]any)
		for i := range min(len(w), len(g)) {
			w[i] = n.match(t, w[i], g[i])
		}
	case string:
		w = n.fill(w)
		if name := placeholder.FindStringSubmatch(w); name != nil {
			value := regexp.MustCompile(`^` + strings.Replace(regexp.QuoteMeta(w), regexp.QuoteMeta(name[0]), "("+shape(name[1])+")", 1) + `$`).
				FindStringSubmatch(fmt.Sprint(got))
			require.NotNil(t, value, "%v is no %s", got, w)
			for other, known := range n {
				require.NotEqual(t, known, value[1], "%s and %s are the same", other, name[1])
			}
			n[name[1]] = value[1]
		}
		return n.fill(w)
	}
	return want
}

// shape gives the pattern of what a name stands for.
func shape(name string) string {
	kind, _, _ := strings.Cut(strings.ReplaceAll(name, ",", " "), " ")
	switch kind {
	case "jwt":
		return `[\w-]+\.[\w-]+\.[\w-]+`
	case "secret":
		return `[\w-]{43}`
	case "image":
		return `[0-9a-f]{32}`
	}
	return `[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`
}
