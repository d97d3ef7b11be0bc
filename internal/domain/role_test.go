package domain_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"inventoryhub/internal/domain"
)

var roles = []domain.Role{domain.RoleAdmin, domain.RoleManager, domain.RoleUser, domain.RoleReadonlyUser}

// notRoles are texts that must open nothing, the empty one of a forgotten field among them.
var notRoles = []domain.Role{"", "admin", "Admin ", "Root"}

// TestActor_Require checks the role table of the specification. A letter stands for a role that may.
func TestActor_Require(t *testing.T) {
	table := map[domain.Permission]string{
		domain.InviteUsers:      "AM",
		domain.ReadUsers:        "AMUR",
		domain.ManageUsers:      "AMU",
		domain.ReadCatalogue:    "AMUR",
		domain.ManageCategories: "AM",
		domain.WriteProducts:    "AMU",
		domain.DeleteProducts:   "AM",
		domain.ImportProducts:   "AM",
		domain.ListOrders:       "AMUR",
		domain.ReadOrders:       "AMU",
		domain.PlaceOrders:      "AMU",
		domain.MoveOrders:       "AMU",
		domain.EditOrders:       "AM",
		domain.DeleteOrders:     "A",
		domain.SeeOneself:       "AMUR",
		domain.OwnAccount:       "AMUR",
		domain.ReadAudit:        "A",
	}
	require.ElementsMatch(t, permissions(t), keys(table), "every permission stands in the table")
	for permission, may := range table {
		for _, role := range roles {
			want := refusal{domain.KindForbidden, "authorization"}
			if strings.Contains(may, string(role[0])) {
				want = refusal{}
			}
			require.Equal(t, want, refused(t, domain.Actor{Role: role}.Require(permission)), "%s: %s", role, permission)
		}
		for _, role := range notRoles {
			require.Error(t, domain.Actor{Role: role}.Require(permission), "%q: %s", role, permission)
		}
		lowest, known := domain.LowestRole(permission)
		require.True(t, known)
		require.Equal(t, may[len(may)-1], lowest[0])
	}
	for _, permission := range []domain.Permission{"", "do anything"} {
		require.Equal(t, refusal{domain.KindForbidden, "authorization"}, refused(t, domain.Actor{Role: domain.RoleAdmin}.Require(permission)))
		_, known := domain.LowestRole(permission)
		require.False(t, known)
	}
}

// TestActor_Require_key checks what an API key may: `r` with either scope, `w` with the wider one. The rest no key may.
func TestActor_Require_key(t *testing.T) {
	table := map[domain.Permission]string{
		domain.ReadUsers: "r", domain.ReadCatalogue: "r", domain.ListOrders: "r", domain.ReadOrders: "r", domain.ReadAudit: "r", domain.SeeOneself: "r",
		domain.ManageCategories: "w", domain.WriteProducts: "w", domain.DeleteProducts: "w", domain.ImportProducts: "w", domain.PlaceOrders: "w", domain.MoveOrders: "w",
		domain.EditOrders: "w", domain.DeleteOrders: "w",
		domain.InviteUsers: "", domain.ManageUsers: "", domain.OwnAccount: "",
	}
	require.ElementsMatch(t, permissions(t), keys(table), "every permission stands in the table")
	for permission, letter := range table {
		for scope, letters := range map[domain.KeyScope]string{domain.ScopeRead: "r", domain.ScopeWrite: "rw", "": "r", "admin": "r"} {
			key := domain.Actor{Role: domain.RoleAdmin, KeyID: domain.NewID(), Scope: scope}
			want := refusal{domain.KindForbidden, "authorization"}
			if letter != "" && strings.Contains(letters, letter) {
				want = refusal{}
			}
			require.Equal(t, want, refused(t, key.Require(permission)), "%s: %s", scope, permission)
			key.Role = ""
			require.Error(t, key.Require(permission))
		}
	}
}

// TestActor_Require_barred has an Admin who still needs a second factor do what leads to one, and nothing else.
func TestActor_Require_barred(t *testing.T) {
	for _, permission := range permissions(t) {
		want := refusal{domain.KindForbidden, "authorization"}
		if permission == domain.OwnAccount || permission == domain.SeeOneself {
			want = refusal{}
		}
		require.Equal(t, want, refused(t, domain.Actor{Role: domain.RoleAdmin, Barred: true}.Require(permission)), permission)
	}
}

// permissions reads the constants of type Permission out of the source, so that a new one cannot be forgotten here.
func permissions(t *testing.T) []domain.Permission {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "role.go", nil, 0)
	require.NoError(t, err)
	var found []domain.Permission
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Permission" {
				found = append(found, domain.Permission(strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)))
			}
		}
		return true
	})
	return found
}

func keys(m map[domain.Permission]string) []domain.Permission {
	var all []domain.Permission
	for k := range m {
		all = append(all, k)
	}
	return all
}

// TestActor_overUsers has every role look at, change and grant every role.
func TestActor_overUsers(t *testing.T) {
	forbidden, onRole := refusal{domain.KindForbidden, "authorization"}, refusal{domain.KindForbidden, "role"}
	for i, role := range roles {
		for k, other := range roles {
			actor, user := domain.Actor{ID: domain.NewID(), Role: role}, domain.User{Role: other}
			var see, manage, grant refusal
			if i > k { // the other stands above
				see, manage, grant = forbidden, forbidden, onRole
			} else if i == k {
				manage = forbidden
			}
			require.Equal(t, see, refused(t, actor.MaySee(user)), "%s sees %s", role, other)
			require.Equal(t, manage, refused(t, actor.MayManage(user)), "%s changes %s", role, other)
			require.Equal(t, grant, refused(t, actor.MayGrant(other)), "%s grants %s", role, other)
			require.Equal(t, i <= k, role.AtLeast(other))
			require.Equal(t, i < k, role.Above(other))
		}
		require.Equal(t, roles[i:], role.UpTo())
	}
	for _, none := range notRoles {
		require.Empty(t, none.UpTo())
		for _, other := range append(roles, notRoles...) {
			actor := domain.Actor{Role: none}
			require.Error(t, actor.MaySee(domain.User{Role: other}))
			require.Error(t, actor.MayManage(domain.User{Role: other}))
			require.Error(t, actor.MayGrant(other))
		}
	}
}

func TestParseRole(t *testing.T) {
	require.Equal(t, roles, domain.Roles)
	for _, role := range roles {
		parsed, err := domain.ParseRole(string(role))
		require.NoError(t, err)
		require.Equal(t, role, parsed)
	}
	for _, none := range notRoles {
		_, err := domain.ParseRole(string(none))
		require.Equal(t, refusal{domain.KindInvalid, "role"}, refused(t, err), none)
	}
	_, err := domain.ParseRole("Blatnoi")
	require.Equal(t, domain.Invalid("role", "The role 'Blatnoi' is not valid"), err)
}
