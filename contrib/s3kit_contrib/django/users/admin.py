"""Access keys in Django's admin: made, disabled, deleted; the secret is shown once, when made.

Superusers see all keys. Other staff see their own alone, whatever permissions they have on keys:
whoever could make one for another user would be that user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from django.contrib import admin
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.debug import sensitive_variables

from .changes import changed
from .models import S3AccessKey

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[S3AccessKey]
else:
    _Admin = admin.ModelAdmin


@admin.register(S3AccessKey)
class S3AccessKeyAdmin(_Admin):
    """The list of keys, and the form of one; neither has the secret."""

    list_display = ("access_key", "user", "label", "is_active", "created", "last_used")
    list_filter = ("is_active",)
    list_select_related = ("user",)
    search_fields = ("access_key", "label")
    raw_id_fields = ("user",)
    actions = ("disable", "enable")

    def get_queryset(self, request: HttpRequest) -> QuerySet[S3AccessKey]:
        """The keys that this member of staff may see."""
        found = super().get_queryset(request)
        return found if _sees_all(request) else found.filter(user=request.user.pk)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """What the form has."""
        if obj is None:
            return [*(["user"] if _sees_all(request) else []), "label", "scope"]
        return ["access_key", "user", "label", "scope", "is_active", "created", "last_used"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """What nobody changes, or what only a superuser gives back."""
        if obj is None:
            return []
        fixed = ["access_key", "user", "created", "last_used"]
        return fixed if _sees_all(request) else [*fixed, "scope", "is_active"]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Disabling is open to whoever owns the key."""
        found = super().get_actions(request)
        if not _sees_all(request):
            found.pop("enable", None)
        return found

    @sensitive_variables("secret")
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store it; a new one gets its secret here."""
        if not change:
            if not _sees_all(request):
                obj.user_id = request.user.pk
            secret = obj.renew()
            # For the answer to this very request, in response_add().
            obj.secret_once = secret
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The page that shows the secret: an answer and no message, which might lie in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new access key",
            "opts": self.opts,
            "key": obj,
            "secret": obj.__dict__.pop("secret_once"),
        }
        answer = TemplateResponse(request, "s3kit_users/key_created.html", context)
        answer.headers["Cache-Control"] = "no-store, private"
        return answer

    @admin.action(description="Disable selected access keys", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[S3AccessKey]) -> None:
        """Requests with these keys are refused from now on."""
        self._switch(request, queryset, on=False)

    @admin.action(description="Enable selected access keys", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[S3AccessKey]) -> None:
        """These keys work again."""
        if _sees_all(request):
            self._switch(request, queryset, on=True)

    def _switch(self, request: HttpRequest, queryset: QuerySet[S3AccessKey], *, on: bool) -> None:
        number = queryset.update(is_active=on)
        # An update sends no signal.
        changed(using=queryset.db)
        done = "enabled" if on else "disabled"
        self.message_user(request, f"Access keys {done}: {number}.", messages.SUCCESS)


def _sees_all(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))
