from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.failure import Failure
from ...models.redelivery import Redelivery
from ...types import Response


def _get_kwargs(
    id: str,
    webhook_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/v1/webhooks/{id}/deliveries/{webhook_id}/redeliver".format(
            id=quote(str(id), safe=""),
            webhook_id=quote(str(webhook_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Failure | Redelivery | None:
    if response.status_code == 202:
        response_202 = Redelivery.from_dict(response.json())

        return response_202

    if response.status_code == 400:
        response_400 = Failure.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Failure.from_dict(response.json())

        return response_401

    if response.status_code == 404:
        response_404 = Failure.from_dict(response.json())

        return response_404

    if response.status_code == 408:
        response_408 = Failure.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Failure.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Failure.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Failure.from_dict(response.json())

        return response_415

    if response.status_code == 429:
        response_429 = Failure.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Failure.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Failure.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Failure | Redelivery]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    webhook_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[Failure | Redelivery]:
    """Send a delivery again

     It is sent at once under the same `webhook-id`, with a new retry schedule. No other delivery waits
    for it.

    Args:
        id (str): A webhook endpoint.
        webhook_id (str): The `webhook-id` of an event.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | Redelivery]
    """

    kwargs = _get_kwargs(
        id=id,
        webhook_id=webhook_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: str,
    webhook_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Failure | Redelivery | None:
    """Send a delivery again

     It is sent at once under the same `webhook-id`, with a new retry schedule. No other delivery waits
    for it.

    Args:
        id (str): A webhook endpoint.
        webhook_id (str): The `webhook-id` of an event.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | Redelivery
    """

    return sync_detailed(
        id=id,
        webhook_id=webhook_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    id: str,
    webhook_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[Failure | Redelivery]:
    """Send a delivery again

     It is sent at once under the same `webhook-id`, with a new retry schedule. No other delivery waits
    for it.

    Args:
        id (str): A webhook endpoint.
        webhook_id (str): The `webhook-id` of an event.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Failure | Redelivery]
    """

    kwargs = _get_kwargs(
        id=id,
        webhook_id=webhook_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    webhook_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Failure | Redelivery | None:
    """Send a delivery again

     It is sent at once under the same `webhook-id`, with a new retry schedule. No other delivery waits
    for it.

    Args:
        id (str): A webhook endpoint.
        webhook_id (str): The `webhook-id` of an event.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Failure | Redelivery
    """

    return (
        await asyncio_detailed(
            id=id,
            webhook_id=webhook_id,
            client=client,
        )
    ).parsed
