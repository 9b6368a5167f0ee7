"""Every path of the contract."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path, re_path

from connector import oauth_views, soap_views, views
from connector.admin import pages

pages.load()

urlpatterns = [
    path("", views.home),
    path("webhooks/<slug:system>/", views.webhook),
    path("webhooks/<slug:system>/<slug:connection>/", views.webhook),
    path("webhooks/<slug:system>/<slug:connection>/<slug:subscription>/", views.webhook),
    # With and without the slash: a redirect would end the Web Connector's update.
    re_path(r"^soap/quickbooks-desktop/?$", soap_views.quickbooks_desktop),
    path("support/quickbooks-desktop/", soap_views.quickbooks_desktop_support, name="quickbooks-desktop-support"),
    path("oauth/<slug:system>/start/", oauth_views.start, name="oauth-start"),
    path("oauth/<slug:system>/callback/", oauth_views.callback, name="oauth-callback"),
    path("healthz", views.healthz),
    path("readyz", views.readyz),
    path("metrics", views.metrics_page),
    path("admin/", admin.site.urls),
]
